/** Rows, not requests, are cached: through a running gateway, in every dialect that has rows, over real tiers. */
import { type IncomingMessage, request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type FaultProxy, faultProxy } from '../support/fault-proxy.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { bytes, f, floats, type Pair, type RowBackend, startRowBackend } from '../support/row-backend.ts'
import { startMemcached, startRedis, type TestServer } from '../support/servers.ts'
import { memcachedTier, redisTier, settings, TWO } from '../support/settings.ts'

let backend: RowBackend
let gateway: RunningGateway

const always = { rows: 'always', ttl: '1h' } as const

beforeAll(async () => {
  backend = await startRowBackend()
  gateway = await startGateway({
    yaml: settings({ backends: [backend], route: { cache: always }, server: TWO }),
  })
  await gateway.ready('main')
})
afterAll(async () => {
  await gateway?.stop()
  await backend?.close()
})

interface Answer {
  readonly status: number
  readonly cacheStatus: string
  readonly rows: readonly Pair[]
  readonly body: Buffer
}

interface Dialect {
  readonly path: string
  write(rows: readonly Pair[]): { body: Buffer; headers?: Record<string, string> }
  read(body: Buffer, headers: Record<string, string>): readonly Pair[]
}

const pairs = (flat: readonly number[]): Pair[] =>
  Array.from({ length: flat.length / 2 }, (_, i): Pair => [flat[2 * i] as number, flat[2 * i + 1] as number])
const parse = (body: Buffer): unknown => JSON.parse(body.toString())

const tensor = (rows: readonly Pair[]) => ({ name: 'x', datatype: 'FP32', shape: [rows.length, 2] })
interface Outputs {
  readonly outputs: [{ shape: [number, number]; data: number[] }]
}

const DIALECTS: Readonly<Record<string, Dialect>> = {
  'V1 instances': {
    path: '/v1/models/m:predict',
    write: (rows) => ({ body: Buffer.from(JSON.stringify({ instances: rows })) }),
    read: (body) => (parse(body) as { predictions: Pair[] }).predictions,
  },
  'V1 inputs': {
    path: '/v1/models/columns:predict',
    write: (rows) => ({
      body: Buffer.from(JSON.stringify({ inputs: { a: rows.map(([a]) => a), b: rows.map(([, b]) => b) } })),
    }),
    read(body) {
      const { p, q } = (parse(body) as { outputs: { p: number[]; q: number[] } }).outputs
      return p.map((value, i): Pair => [value, q[i] as number])
    },
  },
  'V2 JSON': {
    path: '/v2/models/json/infer',
    write: (rows) => ({
      body: Buffer.from(JSON.stringify({ id: 'mine', inputs: [{ ...tensor(rows), data: rows.flat() }] })),
    }),
    read(body) {
      const { outputs } = parse(body) as Outputs
      expect(outputs[0].shape).toEqual([outputs[0].data.length / 2, 2])
      expect((parse(body) as { id: string }).id).toBe('mine')
      return pairs(outputs[0].data)
    },
  },
  'V2 JSON of a stated length': {
    path: '/v2/models/measured/infer',
    write(rows) {
      const body = Buffer.from(JSON.stringify({ inputs: [{ ...tensor(rows), data: rows.flat() }] }))
      const fields = {
        'content-type': 'application/json',
        'inference-header-content-length': `${body.length}`,
      }
      return { body, headers: fields }
    },
    read: (body) => pairs((parse(body) as Outputs).outputs[0].data),
  },
  'V2 binary': {
    path: '/v2/models/binary/infer',
    write(rows) {
      const blob = bytes(rows.flat())
      const head = JSON.stringify({
        inputs: [{ ...tensor(rows), parameters: { binary_data_size: blob.length } }],
        parameters: { binary_data_output: true },
      })
      return {
        body: Buffer.concat([Buffer.from(head), blob]),
        headers: {
          'content-type': 'application/octet-stream',
          'inference-header-content-length': String(Buffer.byteLength(head)),
        },
      }
    },
    read: (body, headers) => pairs(floats(body.subarray(Number(headers['inference-header-content-length'])))),
  },
}

function ask(
  dialect: Dialect,
  rows: readonly Pair[],
  to = gateway,
  more: Record<string, string> = {},
): Promise<Answer> {
  const { body, headers = { 'content-type': 'application/json' } } = dialect.write(rows)
  return new Promise((resolve, reject) => {
    const sent = request({
      host: '127.0.0.1',
      port: to.port,
      path: dialect.path,
      method: 'POST',
      headers: { ...headers, ...more },
      agent: false,
    })
    sent.on('error', reject)
    const read = async (response: IncomingMessage) => {
      const whole = Buffer.concat(await response.toArray())
      const status = response.statusCode ?? 0
      resolve({
        status,
        cacheStatus: String(response.headers['cache-status'] ?? ''),
        rows: status === 200 ? dialect.read(whole, response.headers as Record<string, string>) : [],
        body: whole,
      })
    }
    sent.on('response', (response) => void read(response).catch(reject))
    sent.end(body)
  })
}

let next = 0
/** Rows nobody has asked for yet. */
const fresh = (count: number): Pair[] => Array.from({ length: count }, (): Pair => [++next, next + 0.5])
const detail = (hit: number, join: number, miss: number, dup: number) =>
  `infergate; fwd=partial; fwd-status=200; stored; detail="rows hit=${hit} join=${join} miss=${miss} dup=${dup}"`

describe.each(Object.entries(DIALECTS))('%s', (_, dialect) => {
  it('T28: of 128 rows with 120 known the backend is asked for 8, and the answer has all in their places', async () => {
    const batch = fresh(128)
    const unknown = new Set([0, 1, 17, 40, 41, 90, 126, 127])
    const known = batch.filter((_, i) => !unknown.has(i))
    await ask(dialect, known)
    const before = backend.sent.length
    const { rows, cacheStatus } = await ask(dialect, batch)
    expect(backend.sent.slice(before)).toEqual([batch.filter((_, i) => unknown.has(i))])
    expect(rows).toEqual(batch.map(f))
    expect(cacheStatus).toBe(detail(120, 0, 8, 0))
    expect((await ask(dialect, batch.toReversed())).cacheStatus).toMatch(/^infergate; hit; /)
  })

  it('T12: equal rows of one call are sent once, in the order of the first, and answered in every place', async () => {
    const [a, b, c] = fresh(3) as [Pair, Pair, Pair]
    const before = backend.sent.length
    const { rows, cacheStatus } = await ask(dialect, [a, b, a, c, b, a])
    expect(backend.sent.slice(before)).toEqual([[a, b, c]])
    expect(rows).toEqual([a, b, a, c, b, a].map(f))
    expect(cacheStatus).toBe(detail(0, 0, 3, 3))
  })

  it('rows in flight for somebody else are joined, not sent again', async () => {
    const [a, b, c] = fresh(3) as [Pair, Pair, Pair]
    const before = backend.sent.length
    const usual = backend.script
    const held: (() => void)[] = []
    backend.script = (...all) => void held.push(() => void usual(...all))
    const first = ask(dialect, [a, b])
    await eventually(() => expect(held.length).toBe(1))
    const second = ask(dialect, [c, b])
    await eventually(() => expect(held.length).toBe(2))
    backend.script = usual
    for (const answer of held) answer()
    expect((await first).rows).toEqual([a, b].map(f))
    const joined = await second
    expect(joined.rows).toEqual([c, b].map(f))
    expect(joined.cacheStatus).toBe(detail(0, 1, 1, 0))
    expect(backend.sent.slice(before)).toEqual([[a, b], [c]])
  })
})

describe('a batch of which a part fails', () => {
  const dialect = DIALECTS['V1 instances'] as Dialect

  it('fails with what the backend says to the whole, and what was known stays known', async () => {
    const batch = fresh(4)
    await ask(dialect, batch.slice(0, 3))
    const usual = backend.script
    const bodies: number[] = []
    backend.script = ({ body }, response) => {
      bodies.push((JSON.parse(body.toString()) as { instances: Pair[] }).instances.length)
      response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":"row too odd"}')
    }
    const failed = await ask(dialect, batch)
    backend.script = usual
    expect(failed.status).toBe(400)
    expect(failed.body.toString()).toBe('{"error":"row too odd"}')
    expect(bodies).toEqual([1, 4])
    expect(failed.cacheStatus).not.toMatch(/stored/)
    const before = backend.sent.length
    expect((await ask(dialect, batch)).rows).toEqual(batch.map(f))
    expect(backend.sent.slice(before)).toEqual([batch.slice(3)])
  })

  it('I25: hits leave the backend’s latency and its attempts alone', async () => {
    // One event loop, which shows what it has measured at once; others report it twice a second.
    const own = await startGateway({ yaml: settings({ backends: [backend], route: { cache: always } }) })
    await own.ready('main')
    const batch = fresh(5)
    await ask(dialect, batch, own)
    const attempts = () => own.metric('infergate_backend_attempts_total')
    const latency = async () => {
      const { json } = await own.ask('/api/v1/pools/main')
      return (json as { backends: { latencyMs?: number }[] }).backends[0]?.latencyMs
    }
    const before = [await attempts(), await latency()]
    expect(before).toEqual([1, expect.any(Number)])
    for (let i = 0; i < 50; i++) {
      const { cacheStatus } = await ask(dialect, batch.slice(i % 3), own)
      expect(cacheStatus).toMatch(/^infergate; hit/)
    }
    expect([await attempts(), await latency()]).toEqual(before)
    await own.stop()
  })
})

describe('an answer that does not fit its rows', () => {
  it.each([
    ['too few', 'V1 instances', (rows: readonly Pair[]) => rows.slice(1).map(f)],
    ['too many', 'V2 JSON', (rows: readonly Pair[]) => [...rows, ...rows].map(f)],
  ])(
    '%s (%s): the whole batch is asked for again, kept by nobody, and whole keys it is from then on',
    async (_, name, wrong) => {
      const dialect = DIALECTS[name] as Dialect
      const own = await startGateway({ yaml: settings({ backends: [backend], route: { cache: always } }) })
      await own.ready('main')
      const batch = fresh(6)
      await ask(dialect, batch.slice(0, 4), own)
      backend.model = (rows) => (rows.length < 6 ? wrong(rows) : rows.map(f))
      const before = backend.sent.length
      const { rows, cacheStatus } = await ask(dialect, batch, own)
      backend.model = (all) => all.map(f)
      expect(rows).toEqual(batch.map(f))
      expect(cacheStatus).toMatch(/^infergate; fwd=bypass/)
      expect(backend.sent.slice(before)).toEqual([batch.slice(4), batch])

      await ask(dialect, batch, own)
      expect(backend.sent.at(-1)).toEqual(batch)
      const more = [...batch, ...fresh(1)]
      await ask(dialect, more, own)
      expect(backend.sent.at(-1)).toEqual(more)
      expect(await own.metric('infergate_cache_row_splitting_total', { state: 'suspended' })).toBe(1)
      await own.stop()
    },
  )

  it('rows of other lengths than their neighbours are answered as the backend answers them', async () => {
    const usual = backend.script
    backend.script = ({ body }, response) => {
      const { instances } = JSON.parse(body.toString()) as { instances: unknown[] }
      // A model that pads: the answer to a row is as long as the longest row of its batch.
      const width = Math.max(...instances.map((row) => (row as number[]).length))
      const padded = instances.map((row) =>
        Array.from({ length: width }, (_, i) => (row as number[])[i] ?? 0),
      )
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ predictions: padded }))
    }
    const post = (rows: number[][]) => gateway.post('/v1/models/pads:predict', { instances: rows })
    for (const rows of [
      [[1]],
      [[1], [2, 3]],
      [
        [2, 3],
        [4, 5, 6],
      ],
      [[1], [4, 5, 6]],
    ]) {
      const width = Math.max(...rows.map((row) => row.length))
      const wanted = rows.map((row) => Array.from({ length: width }, (_, i) => row[i] ?? 0))
      expect((await post(rows)).json).toEqual({ predictions: wanted })
    }
    backend.script = usual
  })
})

describe.each(['redis', 'memcached'] as const)('I18: over a %s', (kind) => {
  let server: TestServer
  let proxy: FaultProxy
  let own: RunningGateway
  const dialect = DIALECTS['V2 JSON'] as Dialect

  beforeAll(async () => {
    server = await (kind === 'redis' ? startRedis() : startMemcached())
    proxy = await faultProxy(server.port)
    const behind = { ...server, port: proxy.port, url: `${kind}://127.0.0.1:${proxy.port}` }
    const tier = kind === 'redis' ? redisTier(behind) : memcachedTier(behind)
    own = await startGateway({
      yaml: settings({ backends: [backend], tiers: [tier], route: { cache: always } }),
    })
    await own.ready('main')
  })
  afterAll(async () => {
    await own?.stop()
    await proxy?.close()
    await server?.stop()
  })

  it.each(['hang', 'delay', 'garble', 'reset', 'flap'] as const)(
    'that has rows and then %ss, every answer is the one without it',
    async (fault) => {
      const batch = fresh(8)
      await ask(dialect, batch.slice(0, 5), own)
      let flips = 0
      const flapping = setInterval(() => {
        if (fault === 'flap') proxy.set(flips++ % 2 === 0 ? 'hang' : 'pass')
      }, 20)
      if (fault !== 'flap') proxy.set(fault, { delayMs: 60 })
      for (let i = 0; i < 12; i++) {
        const rows = i % 2 === 0 ? batch : [...batch.slice(2), ...fresh(1)]
        const { status, rows: got } = await ask(dialect, rows, own)
        expect(status).toBe(200)
        expect(got).toEqual(rows.map(f))
        const whole = await own.post(`/v1/models/whole${fault}:predict`, { instances: [[i % 3, 1]] })
        expect([whole.status, whole.text]).toEqual([200, JSON.stringify({ predictions: [f([i % 3, 1])] })])
      }
      clearInterval(flapping)
      proxy.set('pass')
    },
  )
})
