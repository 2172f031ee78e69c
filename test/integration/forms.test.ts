/**
 * One answer is given in every form that asks for it, where the server itself would have given it: what it refuses in
 * one form it refuses with the gateway as well, whatever is kept of a twin.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Asked, type Script, type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway } from '../support/gateway.ts'
import { bytes, floats } from '../support/row-backend.ts'
import { settings } from '../support/settings.ts'

interface Form {
  /** Values as blobs, in the request and in the answer. */
  readonly sent: boolean
  readonly wanted: boolean
}
const JSON_ONLY: Form = { sent: false, wanted: false }
const BLOBS: Form = { sent: true, wanted: true }

interface Read {
  readonly status: number
  readonly cache: string
  /** Whether values came as blobs. */
  readonly isBlob: boolean
  readonly values: readonly number[]
  readonly text: string
}

let backend: ScriptedBackend
let gateway: RunningGateway

beforeAll(async () => {
  backend = await startBackend()
  const cache = { rows: 'always', ttl: '1h', negativeTtl: '30s' } as const
  gateway = await startGateway({ yaml: settings({ backends: [backend], route: { cache } }) })
  await gateway.ready('main')
})
afterAll(async () => {
  await gateway?.stop()
  await backend?.close()
})

const LENGTH = 'inference-header-content-length'

function written(
  rows: readonly number[],
  { sent, wanted }: Form,
): { body: Buffer; headers: Record<string, string> } {
  const tensor = { name: 'x', datatype: 'FP32', shape: [rows.length] }
  const parameters = wanted ? { parameters: { binary_data_output: true } } : {}
  if (!sent) {
    const body = Buffer.from(JSON.stringify({ ...parameters, inputs: [{ ...tensor, data: rows }] }))
    return { body, headers: { 'content-type': 'application/json' } }
  }
  const blob = bytes(rows)
  const inputs = [{ ...tensor, parameters: { binary_data_size: blob.length } }]
  const head = Buffer.from(JSON.stringify({ ...parameters, inputs }))
  const headers = { 'content-type': 'application/octet-stream', [LENGTH]: String(head.length) }
  return { body: Buffer.concat([head, blob]), headers }
}

function ask(model: string, rows: readonly number[], form: Form, port = gateway.port): Promise<Read> {
  const { body, headers } = written(rows, form)
  return new Promise((resolve, reject) => {
    const path = `/v2/models/${model}/infer`
    const sent = request({ host: '127.0.0.1', port, path, method: 'POST', headers, agent: false })
    sent.on('error', reject)
    const take = async (response: IncomingMessage) => {
      const whole = Buffer.concat(await response.toArray())
      const at = response.headers[LENGTH]
      const json = JSON.parse(whole.subarray(0, Number(at ?? whole.length)).toString()) as {
        outputs?: [{ data?: number[] }]
      }
      resolve({
        status: response.statusCode ?? 0,
        cache: String(response.headers['cache-status'] ?? ''),
        isBlob: at !== undefined,
        values: json.outputs?.[0].data ?? (at === undefined ? [] : floats(whole.subarray(Number(at)))),
        text: whole.toString('latin1'),
      })
    }
    sent.on('response', (response) => void take(response).catch(reject))
    sent.end(body)
  })
}

function read({ headers, body }: Asked) {
  const at = Number(headers[LENGTH] ?? body.length)
  const json = JSON.parse(body.subarray(0, at).toString()) as {
    inputs: [{ data?: number[] }]
    parameters?: { binary_data_output?: boolean }
  }
  const isBlob = json.inputs[0].data === undefined
  const rows = json.inputs[0].data ?? floats(body.subarray(at))
  return { rows, isBlob, wanted: json.parameters?.binary_data_output === true }
}

/** As KServe writes it: nulls and the order of members are those of the form. */
function answered(
  rows: readonly number[],
  isBlob: boolean,
): { body: Buffer; headers: Record<string, string> } {
  const y = rows.map((row) => row * 2)
  const shape = [rows.length]
  if (!isBlob) {
    const output = { name: 'y', shape, datatype: 'FP32', parameters: null, data: y }
    const answer = { model_name: 'm', model_version: null, id: 'theirs', parameters: null, outputs: [output] }
    return { body: Buffer.from(JSON.stringify(answer)), headers: { 'content-type': 'application/json' } }
  }
  const output = { name: 'y', datatype: 'FP32', shape, parameters: { binary_data_size: 4 * y.length } }
  const head = Buffer.from(
    JSON.stringify({ id: 'theirs', model_name: 'm', model_version: null, outputs: [output] }),
  )
  const headers = { 'content-type': 'application/octet-stream', [LENGTH]: String(head.length) }
  return { body: Buffer.concat([head, bytes(y)]), headers }
}

/** A server of JSON tensors, which does not know of blobs. */
const jsonOnly: Script = (asked, response) => {
  const { rows, isBlob } = read(asked)
  if (isBlob)
    return void response.writeHead(422, { 'content-type': 'application/json' }).end('{"error":"no blobs"}')
  const { body, headers } = answered(rows, false)
  response.writeHead(200, headers).end(body)
}

/** One that knows both. */
const both: Script = (asked, response) => {
  const { rows, wanted } = read(asked)
  const { body, headers } = answered(rows, wanted)
  response.writeHead(200, headers).end(body)
}

let next = 0
const fresh = (count: number) => Array.from({ length: count }, () => ++next)
const hit = /^infergate; hit/

describe('a server that refuses blobs', () => {
  it.each([[[1]], [[2, 3]]])(
    'refuses them with a JSON twin kept, and the other way round (%j)',
    async ([...size]) => {
      backend.script = jsonOnly
      const rows = fresh(size.length)
      expect(await ask('a', rows, BLOBS)).toMatchObject({ status: 422 })
      expect(await ask('a', rows, JSON_ONLY)).toMatchObject({
        status: 200,
        values: rows.map((row) => row * 2),
      })
      expect((await ask('a', rows, JSON_ONLY)).cache).toMatch(hit)
      for (let i = 0; i < 3; i++)
        expect(await ask('a', rows, BLOBS)).toMatchObject({ status: 422, text: '{"error":"no blobs"}' })
      expect((await ask('a', rows, JSON_ONLY)).cache).toMatch(hit)
    },
  )

  it('is not made to give them: who asks for blobs reads the JSON that the server gives', async () => {
    backend.script = jsonOnly
    const rows = fresh(2)
    await ask('b', rows, JSON_ONLY)
    for (let i = 0; i < 3; i++)
      expect(await ask('b', rows, { sent: false, wanted: true })).toMatchObject({
        status: 200,
        isBlob: false,
      })
    expect((await ask('b', rows, { sent: false, wanted: true })).cache).toMatch(hit)
    expect(await ask('b', rows, JSON_ONLY)).toMatchObject({ status: 200, isBlob: false })
  })

  it('tells its refusal to nobody who asks in another form at the same time', async () => {
    const rows = fresh(1)
    const held: (() => void)[] = []
    backend.script = (...all) => void held.push(() => void jsonOnly(...all))
    const refused = ask('c', rows, BLOBS)
    await eventually(() => expect(held.length).toBe(1))
    const good = ask('c', rows, JSON_ONLY)
    await eventually(() => expect(held.length).toBe(2))
    for (const answer of held) answer()
    expect([(await refused).status, (await good).status]).toEqual([422, 200])
  })

  it('still has equal calls of one form joined', async () => {
    const rows = fresh(1)
    const held: (() => void)[] = []
    backend.script = (...all) =>
      all[0].path.includes('/d/') ? void held.push(() => void jsonOnly(...all)) : void jsonOnly(...all)
    const calls = Array.from({ length: 5 }, () => ask('d', rows, JSON_ONLY))
    await eventually(() => expect(held.length).toBe(1))
    // Those that were sent before have arrived when this one is answered, or as good as all of them.
    await ask('other', rows, JSON_ONLY)
    held[0]?.()
    expect((await Promise.all(calls)).map(({ status }) => status)).toEqual(Array(5).fill(200))
    expect(held).toHaveLength(1)
  })
})

describe('a server that gives a blob for each output listed without a word, where blobs are wanted of all', () => {
  it('is asked each time: whoever wants JSON is not given what was kept of that, nor the other way round', async () => {
    backend.script = both
    const [row] = fresh(1)
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [1], data: [row] }]
    const listed = { inputs, outputs: [{ name: 'y' }] }
    const wanted = { ...listed, parameters: { binary_data_output: true } }
    for (const [body, type] of [
      [wanted, 'application/octet-stream'],
      [listed, 'application/json'],
      [wanted, 'application/octet-stream'],
      [listed, 'application/json'],
    ] as const) {
      const { headers } = await gateway.post('/v2/models/unsaid/infer', body)
      expect(headers['content-type']).toBe(type)
      if (body === wanted) expect(headers['cache-status']).toMatch(/ambiguous-encoding/)
    }
    expect((await gateway.post('/v2/models/unsaid/infer', listed)).headers['cache-status']).toMatch(hit)
  })
})

describe('a server that takes blobs', () => {
  it('has shown it once a call has succeeded: then one answer is given in both forms', async () => {
    backend.script = both
    const rows = fresh(2)
    await ask('e', rows, JSON_ONLY)
    expect((await ask('e', rows, BLOBS)).cache).not.toMatch(hit)
    const more = fresh(2)
    await ask('e', more, JSON_ONLY)
    const twin = await ask('e', more, BLOBS)
    expect(twin).toMatchObject({ status: 200, isBlob: true, values: more.map((row) => row * 2) })
    expect(twin.cache).toMatch(hit)
    expect(await ask('e', rows, JSON_ONLY)).toMatchObject({
      isBlob: false,
      values: rows.map((row) => row * 2),
    })
  })

  it('mixes rows of both forms, though it writes them differently', async () => {
    backend.script = both
    await ask('f', fresh(2), BLOBS)
    await ask('f', fresh(2), JSON_ONLY)
    const [a, b, c, d] = fresh(4) as [number, number, number, number]
    await ask('f', [a, b], JSON_ONLY)
    const before = backend.asked.length
    const blobs = await ask('f', [a, b, c], BLOBS)
    expect(blobs).toMatchObject({ isBlob: true, values: [a, b, c].map((row) => row * 2) })
    expect(blobs.cache).toMatch(/rows hit=2 join=0 miss=1/)
    const json = await ask('f', [c, d, a], JSON_ONLY)
    expect(json).toMatchObject({ isBlob: false, values: [c, d, a].map((row) => row * 2) })
    expect(json.cache).toMatch(/rows hit=2 join=0 miss=1/)
    expect(json.text).toContain('"parameters":null')
    expect(backend.asked.length - before).toBe(2)
    expect(await gateway.metric('infergate_cache_row_splitting_total', { state: 'suspended' })).toBe(0)
  })
})

describe('metadata', () => {
  /** A server that says what it takes, and takes it from nobody but the gateway's word: only kept answers can be given. */
  async function serverOf(extensions: readonly string[], takes: 'blobs' | 'json') {
    const server = createServer((asked, response) => {
      const { url: path = '', method, headers } = asked
      if (method === 'GET') {
        const about = path === '/v2' ? { name: 'server', extensions } : { name: 'm', versions: ['1'] }
        return void response.setHeader('content-type', 'application/json').end(JSON.stringify(about))
      }
      const isBlob = headers[LENGTH] !== undefined
      const whole: Buffer[] = []
      asked.on('data', (chunk: Buffer) => whole.push(chunk))
      asked.on('end', () => {
        const call = { method: 'POST', path, headers, body: Buffer.concat(whole) }
        if (isBlob === (takes === 'blobs')) return void both(call, response, asked)
        response.writeHead(422, { 'content-type': 'application/json' }).end('{}')
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const own = await startGateway({
      yaml: settings({ backends: [{ url }], route: { cache: { rows: 'never' } } }),
    })
    await own.ready('main')
    const close = async () => {
      await own.stop()
      server.close()
    }
    return { own, close }
  }

  it.each([
    ['blobs', ['binary_tensor_data'], 'json', JSON_ONLY, BLOBS],
    ['JSON', [], 'blobs', BLOBS, JSON_ONLY],
  ] as const)(
    'that name %s are enough for a kept answer to be given so',
    async (_, extensions, takes, kept, other) => {
      const { own, close } = await serverOf(extensions, takes)
      const rows = fresh(1)
      await eventually(async () => {
        await ask('m', rows, kept, own.port)
        const twin = await ask('m', rows, other, own.port)
        expect(twin).toMatchObject({ status: 200, isBlob: other.wanted, values: rows.map((row) => row * 2) })
        expect(twin.cache).toMatch(hit)
      })
      await close()
    },
  )
})

describe('explanations', () => {
  it('are passed on each time, unless the route says that they are kept', async () => {
    backend.script = (_, response) =>
      void response.setHeader('content-type', 'application/json').end(`{"explanations":[${++next}]}`)
    const path = '/v1/models/x:explain'
    const body = { instances: [1] }
    const [one, two] = [await gateway.post(path, body), await gateway.post(path, body)]
    expect(one.headers['cache-status']).toMatch(/fwd=bypass.*explanation/)
    expect(two.text).not.toBe(one.text)
    const route = { explain: true, cache: {} }
    const own = await startGateway({ yaml: settings({ backends: [backend], route }) })
    await own.ready('main')
    const [three, four] = [await own.post(path, body), await own.post(path, body)]
    expect(four.headers['cache-status']).toMatch(hit)
    expect(four.text).toBe(three.text)
    await own.stop()
  })
})

it('blobs are explained, from the shell and by the admin API: what is kept is found under the same key', async () => {
  backend.script = both
  const rows = fresh(2)
  const { body, headers } = written(rows, BLOBS)
  const path = '/v2/models/explained/infer'
  const fields = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const command = ['explain', 'POST', path, ...fields, '--json', '--admin', gateway.admin]
  const fromShell = async () => {
    const { code, stdout, stderr } = await runInfergate(command, {}, body)
    expect([code, stderr]).toEqual([0, ''])
    return JSON.parse(stdout) as { key: string; rows: { tier?: string }[] }
  }
  const before = await fromShell()
  expect(before).toMatchObject({ cacheable: true, protocol: 'oip', model: 'explained' })
  expect(before.rows.map(({ tier }) => tier)).toEqual([undefined, undefined])
  await ask('explained', rows, BLOBS)
  const after = await fromShell()
  expect(after.key).toBe(before.key)
  expect(after.rows.map(({ tier }) => tier)).toEqual(['memory', 'memory'])
  const asked = { method: 'POST', path, headers, bodyBase64: body.toString('base64') }
  const told = await gateway.ask('/api/v1/cache/explain', { method: 'POST', body: asked })
  expect(told).toMatchObject({ status: 200, json: after })
})
