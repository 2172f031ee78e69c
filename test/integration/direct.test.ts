/**
 * I1, with inputs nobody thought of: random calls of both dialects to models whose answers depend on the order of
 * inputs and outputs, on parameters, and some on the batch. With the gateway or without it, the answer is the same.
 */
import { request } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Asked, type ScriptedBackend, startBackend } from '../support/backend.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { bytes, floats } from '../support/row-backend.ts'
import { settings } from '../support/settings.ts'

const LENGTH = 'inference-header-content-length'
const CALLS = 600
const seed = Number(process.env['INFERGATE_SEED'] ?? Date.now() % 2_147_483_647)

let state = seed || 1
/** Lehmer's generator. */
const random = (most: number) => {
  state = (state * 48_271) % 2_147_483_647
  return state % most
}
const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T
const chance = (percent: number) => random(100) < percent

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

const json = (value: unknown, status = 200): Answer => ({
  status,
  headers: { 'content-type': 'application/json' },
  body: Buffer.from(JSON.stringify(value)),
})

interface Tensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly data?: readonly number[] | readonly number[][]
  readonly parameters?: { readonly binary_data_size?: number }
}
interface Wanted {
  readonly name: string
  readonly parameters?: { readonly binary_data?: boolean }
}
interface V2 {
  readonly id?: string
  readonly inputs: readonly Tensor[]
  readonly outputs?: readonly Wanted[]
  readonly parameters?: {
    readonly binary_data_output?: boolean
    readonly scale?: number
    readonly couple?: boolean
  }
}

const mean = (rows: readonly number[]) => rows.reduce((sum, row) => sum + row, 0) / rows.length

/** `plain` treats each row by itself whatever is asked; `odd` couples rows by a parameter or an output; `shy` refuses blobs. */
function v2(model: string, { headers, body }: Asked): Answer {
  const at = Number(headers[LENGTH] ?? body.length)
  const asked = JSON.parse(body.subarray(0, at).toString()) as V2
  let from = at
  const columns = asked.inputs.map(({ data, parameters }) => {
    if (data) return data.flat()
    const end = from + (parameters?.binary_data_size ?? 0)
    const values = floats(body.subarray(from, end))
    from = end
    return values
  })
  if (model === 'shy' && at < body.length) return json({ error: 'no blobs' }, 422)
  const { scale = 1, couple = false, binary_data_output: all = false } = asked.parameters ?? {}
  const [first = [], second = []] = columns
  const rows = first.map((value, i) => scale * (value + 100 * (second[i] ?? 0)))
  const isOdd = model === 'odd'
  const values: Record<string, readonly number[]> = {
    y: isOdd && couple ? rows.map((row) => row - mean(rows)) : rows,
    // No zero with a sign, which this server's JSON would lose.
    z: rows.map((row) => (isOdd ? mean(rows) : 7) - row),
  }
  const blobs: Buffer[] = []
  const outputs = (asked.outputs ?? [{ name: 'y' }]).map(({ name, parameters }) => {
    const output = { name, datatype: 'FP32', shape: [rows.length] }
    const data = values[name] ?? []
    if (model === 'shy' || !(parameters?.binary_data ?? (asked.outputs ? false : all)))
      return { ...output, data }
    blobs.push(bytes(data))
    return { ...output, parameters: { binary_data_size: 4 * data.length } }
  })
  const head = { model_name: model, ...(asked.id === undefined ? {} : { id: asked.id }), outputs }
  if (blobs.length === 0) return json(head)
  const text = Buffer.from(JSON.stringify(head))
  const fields = { 'content-type': 'application/octet-stream', [LENGTH]: String(text.length) }
  return { status: 200, headers: fields, body: Buffer.concat([text, ...blobs]) }
}

/** A row's answer does not depend on the batch but where `mode`, or the signature of `odd`, says so. */
function v1(model: string, { body }: Asked): Answer {
  const {
    instances,
    inputs,
    mode,
    signature_name: signature,
  } = JSON.parse(body.toString()) as {
    instances?: number[]
    inputs?: Record<string, number[]>
    mode?: string
    signature_name?: string
  }
  const rows = instances ?? (inputs?.['a'] ?? []).map((a, i) => a + 100 * (inputs?.['b']?.[i] ?? 0))
  const isCoupled = model === 'odd' && (mode === 'coupled' || signature === 's')
  const answers = isCoupled
    ? rows.map((row) => row - mean(rows))
    : rows.map((row) => row * (mode === 'twice' ? 2 : 1))
  if (mode === 'short') return json({ predictions: answers.slice(1) })
  if (mode === 'error') return json({ error: `of ${rows.join()}` })
  return json(
    instances ? { predictions: answers } : { outputs: { p: answers, q: answers.map((row) => -row) } },
  )
}

const model = (asked: Asked) => asked.path.split(/[/:]/)[3] ?? ''
const direct = (asked: Asked) => (asked.path.startsWith('/v1/') ? v1 : v2)(model(asked), asked)

const rowsOf = () => Array.from({ length: 1 + random(3) }, () => random(5))

function randomV1(): Asked {
  const rows = rowsOf()
  const more = {
    ...(chance(35) ? { mode: pick(['twice', 'twice', 'coupled', 'coupled', 'short', 'error']) } : {}),
    ...(chance(20) ? { signature_name: pick(['s', 't']) } : {}),
  }
  const columns = chance(50)
    ? { a: rows, b: rows.map(() => random(3)) }
    : { b: rows.map(() => random(3)), a: rows }
  const body = chance(70) ? { ...more, instances: rows } : { inputs: columns, ...more }
  return {
    method: 'POST',
    path: `/v1/models/${pick(['plain', 'odd'])}:predict`,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(body)),
  }
}

function plainV1(): Asked {
  const rows = Array.from({ length: 2 + random(3) }, () => random(60))
  const body = Buffer.from(JSON.stringify({ instances: rows }))
  return {
    method: 'POST',
    path: '/v1/models/plain:predict',
    headers: { 'content-type': 'application/json' },
    body,
  }
}

function randomV2(): Asked {
  const rows = rowsOf()
  const isBlob = chance(40)
  const blobs: Buffer[] = []
  const names = pick([['a'], ['a'], ['a', 'b'], ['b', 'a']])
  const inputs = names.map((name) => {
    const values = name === names[0] ? rows : rows.map(() => random(2))
    const tensor = { name, datatype: 'FP32', shape: [rows.length] }
    if (!isBlob) return { ...tensor, data: values }
    blobs.push(bytes(values))
    return { ...tensor, parameters: { binary_data_size: 4 * values.length } }
  })
  const wish = () => (chance(50) ? {} : { parameters: { binary_data: chance(50) } })
  const listed = pick([undefined, undefined, undefined, ['z'], ['y', 'z'], ['z', 'y']])
  const parameters = {
    ...(chance(20) ? { scale: 2 } : {}),
    ...(chance(30) ? { couple: true } : {}),
    ...(chance(30) ? { binary_data_output: true } : {}),
  }
  const head = Buffer.from(
    JSON.stringify({
      ...(chance(30) ? { id: `i${random(9)}` } : {}),
      ...(chance(30) ? { parameters } : {}),
      ...(listed ? { outputs: listed.map((name) => ({ name, ...wish() })) } : {}),
      inputs,
    }),
  )
  const length = isBlob ? { [LENGTH]: String(head.length) } : {}
  return {
    method: 'POST',
    path: `/v2/models/${pick(['plain', 'odd', 'shy'])}/infer`,
    headers: { 'content-type': isBlob ? 'application/octet-stream' : 'application/json', ...length },
    body: Buffer.concat([head, ...blobs]),
  }
}

/** As a client reads it: JSON by its values, blobs by their bytes. */
function seen({ status, headers, body }: Answer) {
  const at = Number(headers[LENGTH] ?? body.length)
  return {
    status,
    type: headers['content-type'],
    json: JSON.parse(body.subarray(0, at).toString()) as unknown,
    blobs: body.subarray(at).toString('hex'),
  }
}

let backend: ScriptedBackend
const gateways: RunningGateway[] = []

beforeAll(async () => {
  backend = await startBackend(async (asked, response) => {
    const { status, headers, body } = direct(asked)
    await turn()
    response.writeHead(status, headers).end(body)
  })
  const routes = [
    { cache: { rows: 'auto', ttl: '1h', negativeTtl: '30s' } },
    { cache: { rows: 'auto', ttl: '1h' }, batch: { maxRows: 8, maxDelay: '1ms' } },
  ] as const
  for (const route of routes)
    gateways.push(await startGateway({ yaml: settings({ backends: [backend], route }) }))
  await Promise.all(gateways.map((gateway) => gateway.ready('main')))
})
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()))
  await backend?.close()
})

function through({ port }: RunningGateway, { path, headers, body }: Asked): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method: 'POST', headers })
    sent.on('error', reject)
    sent.on('response', (response) => {
      const { statusCode: status = 0, headers: fields } = response
      const whole = (pieces: Buffer[]) =>
        resolve({ status, headers: fields as Record<string, string>, body: Buffer.concat(pieces) })
      response.toArray().then(whole, reject)
    })
    sent.end(body)
  })
}

it(`a random call is answered as the server itself answers it (INFERGATE_SEED=${seed})`, async () => {
  const ways = new Map<string, number>()
  // Questions of one kind, which are split in time, among all the others; and some of them again and again.
  const others = Array.from({ length: CALLS / 3 }, () => (chance(40) ? randomV1() : randomV2()))
  const calls = Array.from({ length: CALLS }, () => (chance(40) ? plainV1() : pick(others)))
  const client = async (gateway: RunningGateway, mine: readonly Asked[]) => {
    for (const asked of mine) {
      const answer = await through(gateway, asked)
      const shown = `${asked.path} ${asked.body.toString('latin1')}`
      expect({ shown, ...seen(answer) }).toEqual({ shown, ...seen(direct(asked)) })
      const way = /hit;|fwd=\w+/.exec(answer.headers['cache-status'] ?? '')?.[0] ?? ''
      ways.set(way, (ways.get(way) ?? 0) + 1)
    }
  }
  await Promise.all(
    gateways.flatMap((gateway) =>
      Array.from({ length: 4 }, (_, i) =>
        client(
          gateway,
          calls.filter((_call, at) => at % 4 === i),
        ),
      ),
    ),
  )
  // It was a cache that answered, and rows of some models were split.
  expect(ways.get('hit;') ?? 0).toBeGreaterThan(CALLS / 2)
  expect(ways.get('fwd=partial') ?? 0).toBeGreaterThan(0)
}, 60_000)
