/** Routes over several stub pools, in one gateway of two workers: splits whose weights change while it runs, and fallbacks. */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Script, type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway } from '../support/gateway.ts'
import { call } from '../support/http.ts'
import { instances, MEMORY, PREDICT, settings, TWO } from '../support/settings.ts'

/** Answers each row with the pool's name, so that answers tell who gave them. */
const saying =
  (name: string): Script =>
  (asked, response) => {
    const { instances: rows } = JSON.parse(asked.body.toString()) as { instances: unknown[] }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ predictions: rows.map(() => name) }))
  }

const NAMES = ['v1', 'v2', 'v3'] as const
let backends: readonly ScriptedBackend[] = []
/** Of the pool `first`, with a script of each test's own. */
let first: ScriptedBackend
let gateway: RunningGateway

beforeAll(async () => {
  backends = await Promise.all(NAMES.map((name) => startBackend(saying(name))))
  const base = settings({ backends: [backends[0] as ScriptedBackend], tiers: [MEMORY], server: TWO })
  const pools = Object.fromEntries(
    NAMES.map((name, i) => [name, { ...base.pools?.['main'], backends: [{ url: backends[i]?.url ?? '' }] }]),
  )
  first = await startBackend()
  const split = [
    { pool: 'v1', weight: 60 },
    { pool: 'v2', weight: 40 },
    { pool: 'v3', weight: 0 },
  ]
  gateway = await startGateway({
    yaml: {
      ...base,
      pools: {
        ...pools,
        first: {
          backends: [{ url: first.url }],
          health: { path: 'off' },
          // What fails is asked again in each test.
          outlier: { consecutive: 1000 },
        },
        empty: { queue: { maxWait: '50ms' } },
      },
      routes: [
        {
          name: 'safe',
          match: { model: 'safe' },
          pool: 'first',
          fallback: ['empty', 'v1'],
          timeout: '3s',
          cache: { rows: 'never' },
        },
        { name: 'raw', match: { path: '/raw/*' }, protocol: 'opaque', pool: 'first', fallback: ['v1'] },
        { name: 'gone', match: { path: '/gone/*' }, protocol: 'opaque', pool: 'empty', fallback: ['v1'] },
        { name: 'ranker', split, cache: { rows: 'never' } },
      ],
    },
  })
  await Promise.all(NAMES.map((name) => gateway.ready(name)))
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all([first, ...backends].map((backend) => backend.close()))
})

async function poolOf(body: unknown): Promise<{ readonly pool: string; readonly status: string }> {
  const { json, headers } = await gateway.post(PREDICT, body)
  const { predictions } = json as { predictions: string[] }
  const [pool = ''] = predictions
  expect(new Set(predictions)).toEqual(new Set([pool]))
  return { pool, status: headers['cache-status'] as string }
}

it('equal inputs go one way, and are kept under the pool that answered', async () => {
  const first = await Promise.all(Array.from({ length: 40 }, (_, i) => poolOf(instances(i, 1, 2))))
  expect(new Set(first.map(({ pool }) => pool))).toEqual(new Set(['v1', 'v2']))
  // What backends serve is asked with the first calls, and may make their answers unreachable once.
  await eventually(async () => {
    const again = await Promise.all(
      Array.from({ length: 40 }, (_, i) => poolOf(JSON.stringify({ instances: [i, 1, 2] }, null, 2))),
    )
    expect(again.map(({ pool }) => pool)).toEqual(first.map(({ pool }) => pool))
    for (const { status } of again) expect(status).toMatch(/; hit; /)
  })
  const { json } = await gateway.ask('/api/v1/cache/explain', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: {
      method: 'POST',
      path: PREDICT,
      body: JSON.stringify(instances(0, 1, 2)),
      headers: { 'content-type': 'application/json' },
    },
  })
  expect((json as { pool: string }).pool).toBe(first[0]?.pool)
})

const weigh = (weights: unknown, route = 'ranker') =>
  gateway.ask(`/api/v1/routes/${route}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: { weights },
  })
const reloads = () => gateway.logs.filter(({ event }) => event === 'config.reloaded').length
const weightsOf = async () => {
  const { json } = await gateway.ask('/api/v1/routes')
  const { routes } = json as { routes: { pools: { pool: string; weight: number }[] }[] }
  return Object.fromEntries(routes.at(-1)?.pools.map(({ pool, weight }) => [pool, weight]) ?? [])
}
/** Under changed weights every call is answered by `pool`, over whatever connection and worker. */
async function allBy(pool: string, inputs = 12): Promise<string[]> {
  const told = await Promise.all(Array.from({ length: inputs }, (_, i) => poolOf(instances(i, 1, 2))))
  for (const one of told) expect(one.pool).toBe(pool)
  return told.map(({ status }) => status)
}

it('changed weights are in force in every worker when they are answered, and old answers are found again', async () => {
  expect((await weigh({ v1: 0, v2: 0, v3: 1 })).json).toEqual({
    route: 'ranker',
    sticky: 'input',
    pools: [
      { pool: 'v1', weight: 0, configured: 60 },
      { pool: 'v2', weight: 0, configured: 40 },
      { pool: 'v3', weight: 1, configured: 0 },
    ],
  })
  await allBy('v3')
  const list = await runInfergate(['routes', 'list', '--admin', gateway.admin])
  expect(list.stdout).toMatch(/^ranker +input +v3 +1 \(0\) +100 %$/m)
  const back = await runInfergate([
    'routes',
    'weights',
    'ranker',
    'v1=60',
    'v2=40',
    'v3=0',
    '--admin',
    gateway.admin,
  ])
  expect([back.code, back.stderr]).toEqual([0, ''])
  const asked = backends.map((backend) => backend.asked.length)
  await Promise.all(Array.from({ length: 12 }, (_, i) => poolOf(instances(i, 1, 2))))
  expect(backends.map((backend) => backend.asked.length)).toEqual(asked)
  expect(await gateway.metric('infergate_route_weight', { route: 'ranker', pool: 'v1' })).toBe(60)
  const line = gateway.logs.find(
    ({ event, ...rest }) => event === 'admin.write' && rest['action'] === 'route.traffic',
  )
  expect(line).toMatchObject({ route: 'ranker', weights: { v1: 0, v2: 0, v3: 1 }, outcome: 'done' })
})

it('changed weights hold over reloads, until the YAML says others', async () => {
  await weigh({ v1: 1, v2: 0 })
  const yaml = readFileSync(gateway.file, 'utf8')
  const before = reloads()
  gateway.signal('SIGHUP')
  await eventually(() => expect(reloads()).toBe(before + 1))
  expect(await weightsOf()).toEqual({ v1: 1, v2: 0, v3: 0 })
  await allBy('v1')
  writeFileSync(
    gateway.file,
    yaml.replace('"weight": 60', '"weight": 0').replace('"weight": 40', '"weight": 7'),
  )
  await eventually(async () => expect(await weightsOf()).toEqual({ v1: 0, v2: 7, v3: 0 }))
  await allBy('v2')
})

it.each<[string, unknown, string, number]>([
  ['all weights 0', { v1: 0, v2: 0, v3: 0 }, 'ranker', 400],
  ['a pool that the route does not have', { v4: 1 }, 'ranker', 400],
  ['a weight below 0', { v1: -1 }, 'ranker', 400],
  ['nothing', {}, 'ranker', 400],
  ['a route that is not there', { v1: 1 }, 'other', 404],
])('%s is refused and changes nothing', async (_, weights, route, status) => {
  const before = await weightsOf()
  expect((await weigh(weights, route)).status).toBe(status)
  expect(await weightsOf()).toEqual(before)
})

const SAFE = '/v1/models/safe:predict'
const reply =
  (status: number, body: string): Script =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  }

const fallbacks = (labels: Record<string, string>) => gateway.metric('infergate_fallbacks_total', labels)

it.each<[string, Script, string]>([
  ['fails after its retries', reply(500, '{"error": "broken"}'), 'failing'],
  ['cuts connections', (_, response) => void response.destroy(), 'failing'],
  ['is too busy', reply(503, '{"error": "busy"}'), 'overloaded'],
  ['refuses by a quota of its own', reply(429, '{"error": "quota"}'), 'quota'],
  ['hangs until too little time is left', () => {}, 'failing'],
])('a pool that %s: the next that can answers, and says why', async (name, script, reason) => {
  first.script = script
  const before = await fallbacks({ route: 'safe', pool: 'first', reason })
  const body = instances(name.length, 77)
  const told = await gateway.post(SAFE, body)
  expect(told.json).toEqual({ predictions: ['v1', 'v1'] })
  expect(told.headers['proxy-status']).toBe(
    `infergate; next-hop=v1; details="fallback from first: ${reason}"`,
  )
  expect(told.headers['cache-status']).toMatch(/fwd=miss; fwd-status=200; stored/)
  expect(await fallbacks({ route: 'safe', pool: 'first', reason })).toBeGreaterThan(before)
  // Kept as the other pool's, and this one is asked first again. What backends serve is asked with the first calls, and may make
  // their answers unreachable once.
  await eventually(async () => {
    const again = await gateway.post(SAFE, body)
    expect(again.headers['proxy-status']).toContain('next-hop=v1')
    expect(again.headers['cache-status']).toMatch(/; hit; /)
  })
  first.script = saying('first')
  const well = await gateway.post(SAFE, body)
  expect(well.json).toEqual({ predictions: ['first', 'first'] })
  expect(well.headers['proxy-status']).toBeUndefined()
})

it('a pool without a backend: calls that stream go to the next one, with all of their body', async () => {
  const seen: Buffer[] = []
  const [v1] = backends
  const before = v1?.script as Script
  if (v1)
    v1.script = (asked, response) => {
      seen.push(asked.body)
      response.end('taken')
    }
  const body = 'x'.repeat(300_000)
  const { text, headers } = await call(gateway.port, '/gone/file', {
    method: 'PUT',
    headers: { 'transfer-encoding': 'chunked' },
    body,
  })
  if (v1) v1.script = before
  expect(text).toBe('taken')
  expect(headers['proxy-status']).toBe('infergate; next-hop=v1; details="fallback from empty: no-backend"')
  expect(seen.map(({ length }) => length)).toEqual([body.length])
})

it('what may have had an effect is not asked again elsewhere', async () => {
  first.script = (_, response) => void response.destroy()
  const { status, headers } = await call(gateway.port, '/raw/act', { method: 'POST', body: { pay: 1 } })
  expect(status).toBe(502)
  expect(headers['proxy-status']).toMatch(/error=connection_terminated/)
})

it('an answer that has begun is not begun anew by another pool', async () => {
  first.script = (_, response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    response.write('half', () => response.destroy())
  }
  const before = backends[0]?.asked.length
  await expect(call(gateway.port, '/raw/half', { method: 'POST', body: 'x' })).rejects.toThrow()
  expect(backends[0]?.asked.length).toBe(before)
})
