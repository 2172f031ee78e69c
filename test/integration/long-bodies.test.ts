/** Bodies of 16 MiB through the gateway as its users run it, in and out, through either door and in every dialect. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { TWO } from '../support/settings.ts'

const MIB = 1 << 20
const LONG = 16 * MIB
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Digests of the bodies that arrived, by the backend that got them. */
const arrived: { good: string[]; busy: string[] } = { good: [], busy: [] }
const framings = new Set<string>()
const answer = Buffer.alloc(LONG, '{"predictions":[1]} ')

/** An answer to all rows of the requests below, in a few bytes. */
function short(path: string): string {
  if (path.startsWith('/v1/')) return `{"predictions":[${Array(count).fill(1).join()}]}`
  return '{"model_name":"m","outputs":[{"name":"y","datatype":"INT8","shape":[1],"data":[1]}]}'
}

function backend(kind: 'good' | 'busy'): http.Server {
  const server = http.createServer((request, response) => {
    if (request.method === 'GET') return void response.end('{}')
    const hash = createHash('sha256')
    request.on('data', (chunk: Buffer) => hash.update(chunk))
    request.on('end', () => {
      arrived[kind].push(hash.digest('hex'))
      framings.add(request.headers['content-length'] ? 'length' : 'chunked')
      if (kind === 'busy') response.writeHead(503).end()
      else if (request.url?.includes('/long'))
        response.writeHead(200, { 'content-type': 'application/json' }).end(answer)
      else response.writeHead(200, { 'content-type': 'application/json' }).end(short(request.url ?? ''))
    })
  })
  return server.listen(0, '127.0.0.1')
}

const servers = [backend('busy'), backend('good')]
let gateway: RunningGateway

beforeAll(async () => {
  for (const server of servers) if (!server.listening) await once(server, 'listening')
  const urls = servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const cache = { rows: 'always' as const }
  gateway = await startGateway({
    yaml: {
      server: TWO,
      cache: { tiers: [{ name: 'memory', type: 'memory', maxBytes: '16MiB' }] },
      pools: {
        m: {
          backends: urls.map((url) => ({ url })),
          balance: { policy: 'round-robin' },
          health: { path: '/' },
        },
        good: { backends: urls.slice(1).map((url) => ({ url })), health: { path: '/' } },
      },
      routes: [
        { name: 'v1', match: { path: '/v1/*' }, protocol: 'tfserving', pool: 'm', cache },
        { name: 'v2', match: { path: '/v2/*' }, protocol: 'oip', pool: 'm', cache },
        { name: 'kept', match: { path: '/kept/*' }, protocol: 'opaque', pool: 'good', cache },
      ],
    },
  })
  await gateway.ready('m', 2)
})

afterAll(() => {
  for (const server of servers) server.close()
})

interface Got {
  readonly status: number
  readonly cache: string
  readonly body: Buffer
}

function send(
  path: string,
  body: Buffer,
  headers: Record<string, string>,
  agent: http.Agent | false = false,
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = http.request({
      host: '127.0.0.1',
      port: gateway.port,
      path,
      method: 'POST',
      agent,
      headers,
    })
    sent.on('error', reject)
    sent.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          cache: String(response.headers['cache-status']),
          body: Buffer.concat(chunks),
        }),
      )
    })
    sent.end(body)
  })
}

const row = `[${'0.25, '.repeat(40)}1], `
const rows = row.repeat(LONG / row.length)
const count = Math.floor(LONG / row.length) + 1
const tensor = `"name":"x","datatype":"FP32","shape":[${count},41]`
const v1 = Buffer.from(`{"instances": [${rows}[1]]}`)
// Without brackets around its rows: only so is it the same request as the tensor's bytes.
const flat = rows.replaceAll(/[[\]]/g, '')
const v2 = Buffer.from(`{"inputs":[{${tensor},"data":[${flat}${'2,'.repeat(40)}1]}]}`)
const values = new Float32Array(count * 41).fill(0.25)
for (let i = 1; i < count; i++) values[i * 41 - 1] = 1
values.fill(2, -41).fill(1, -1)
const head = Buffer.from(`{"inputs":[{${tensor},"parameters":{"binary_data_size":${values.byteLength}}}]}`)
const binary = Buffer.concat([head, new Uint8Array(values.buffer)])

const cases: [name: string, path: string, body: Buffer, headers: Record<string, string>][] = [
  ['V1', '/v1/models/m:predict', v1, {}],
  ['V2 JSON', '/v2/models/m/infer', v2, { 'content-type': 'application/json' }],
  ['opaque', '/kept/x', Buffer.alloc(LONG, 'z'), { 'content-type': 'application/octet-stream' }],
]

it.each(cases)(
  '%s: it arrives whole, at a second backend where the first has no room, and is a hit through the other door',
  async (_, path, body, headers) => {
    arrived.good = []
    arrived.busy = []
    framings.clear()
    const first = await send(path, body, { ...headers, 'content-length': String(body.length) })
    expect([first.status, first.cache]).toEqual([
      200,
      expect.stringContaining('fwd=miss; fwd-status=200; stored'),
    ])
    // Whichever had its turn first: what was sent again was the same.
    expect(arrived.good).toEqual([sha256(body)])
    expect(arrived.busy.every((digest) => digest === arrived.good[0])).toBe(true)
    const second = await send(path, body, { ...headers, 'transfer-encoding': 'chunked' })
    expect(second.cache).toMatch(/^infergate; hit;/)
    expect(arrived.good).toHaveLength(1)
    expect([...framings]).toEqual(['length'])
  },
)

it('V2 binary: the tensors that came as JSON are known, once the server has taken others in binary', async () => {
  const asBinary = (head: Buffer) => ({
    'content-type': 'application/octet-stream',
    'inference-header-content-length': String(head.length),
  })
  const short = Buffer.from(
    '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"parameters":{"binary_data_size":4}}]}',
  )
  // Each worker learns for itself in which forms a server takes calls: one connection leads to one worker.
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const first = Buffer.concat([short, Buffer.alloc(4)])
  const shown = await send('/v2/models/m/infer', first, asBinary(short), agent)
  expect([shown.status, shown.cache]).toEqual([200, expect.stringContaining('fwd=miss')])
  const got = await send('/v2/models/m/infer', binary, asBinary(head), agent)
  agent.destroy()
  expect(got.cache).toMatch(/^infergate; hit;/)
})

it('an answer that is too long to be kept streams to the caller, and leaves the next one to ask again', async () => {
  const framings: Record<string, string>[] = [
    { 'content-length': String(v1.length) },
    { 'transfer-encoding': 'chunked' },
  ]
  for (const framing of framings) {
    const got = await send('/v1/models/long:predict', v1, framing)
    expect([got.status, got.cache]).toEqual([200, 'infergate; fwd=miss; fwd-status=200'])
    expect(sha256(got.body)).toBe(sha256(answer))
  }
})
