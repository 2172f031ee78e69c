/** Routes that send copies of calls to a second pool, over real sockets, in one gateway of two workers. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Script, type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway } from '../support/gateway.ts'
import { call } from '../support/http.ts'
import { MEMORY, settings, TWO } from '../support/settings.ts'

let first: ScriptedBackend
let second: ScriptedBackend
let gateway: RunningGateway
const AWAY = 'http://127.0.0.1:9'

beforeAll(async () => {
  first = await startBackend()
  second = await startBackend()
  const base = settings({ tiers: [MEMORY], server: TWO })
  const probed = { health: { interval: '200ms' }, outlier: { consecutive: 100_000 } } as const
  const mirror = { pool: 'v2', compare: true }
  gateway = await startGateway({
    yaml: {
      ...base,
      pools: {
        v1: { backends: [{ url: first.url }], ...probed },
        v2: { backends: [{ url: second.url }], ...probed, connections: 2000, limits: { mode: 'declared' } },
        away: { backends: [{ url: AWAY }], health: { path: 'off' }, outlier: { consecutive: 100_000 } },
      },
      routes: [
        {
          name: 'plain',
          match: { path: '/opaque/*' },
          protocol: 'opaque',
          pool: 'v1',
          mirror: { pool: 'v2' },
        },
        { name: 'away', match: { path: '/v1/models/away:*' }, pool: 'v1', mirror: { pool: 'away' } },
        {
          name: 'hang',
          match: { path: '/v1/models/hang:*' },
          pool: 'v1',
          mirror: { ...mirror },
          timeout: '60s',
        },
        {
          name: 'split',
          match: { path: '/v1/models/split:*' },
          split: [
            { pool: 'v1', weight: 1 },
            { pool: 'v2', weight: 0 },
          ],
        },
        { name: 'main', pool: 'v1', mirror, cache: { rows: 'never' } },
      ],
    },
  })
  await Promise.all(['v1', 'v2'].map((name) => gateway.ready(name)))
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all([first, second].map((backend) => backend?.close()))
})

interface Counts {
  readonly sent: number
  readonly answered: number
  readonly failed: number
  readonly dropped: Record<string, number>
  readonly equal: number
  readonly different: number
  readonly uncompared: number
  readonly mirror: { readonly count: number; readonly seconds: number }
}

async function countsOf(route: string): Promise<Counts> {
  const { json } = await gateway.ask('/api/v1/routes')
  const { routes } = json as { routes: { route: string; mirror?: { counts: Counts } }[] }
  const found = routes.find((each) => each.route === route)?.mirror
  if (!found) throw new Error(`the route ${route} has no mirror`)
  return found.counts
}

const predict = (model: string, rows: unknown, headers = {}) =>
  gateway.post(`/v1/models/${model}:predict`, { instances: rows }, headers)

it('misses are copied and hits are not; answers that agree within the tolerance are equal', async () => {
  second.script = (asked, response) => {
    const { instances: rows } = JSON.parse(asked.body.toString()) as { instances: number[] }
    // Another spelling of the same, a little off in the last bits.
    const predictions = rows.map((row) => (row === 7 ? 7.5 : row))
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ predictions }, null, 2).replace('1.5', '1.500000001'))
  }
  const before = await countsOf('main')
  const asked = second.asked.length
  for (let i = 0; i < 3; i++) expect((await predict('sum', [1.5, 2])).json).toEqual({ predictions: [1.5, 2] })
  await eventually(async () => expect((await countsOf('main')).equal).toBe(before.equal + 1))
  expect(second.asked.length).toBe(asked + 1)
  const copy = second.asked.at(-1)
  expect(copy?.path).toBe('/v1/models/sum:predict')
  expect(copy?.body.toString()).toBe('{"instances":[1.5,2]}')

  expect((await predict('sum', [1, 7])).json).toEqual({ predictions: [1, 7] })
  await eventually(async () => expect((await countsOf('main')).different).toBe(before.different + 1))
  const line = gateway.logs.find(({ event }) => event === 'mirror.different')
  expect(line).toMatchObject({
    route: 'main',
    pool: 'v1',
    mirror: 'v2',
    output: 'predictions',
    row: 1,
    rows: 1,
  })
  expect(line?.['by']).toBe(0.5)
  const counts = await countsOf('main')
  expect(counts.sent).toBe(counts.answered + counts.failed)
  expect(counts.mirror.count).toBe(counts.answered)
  expect(await gateway.metric('infergate_mirror_sent_total', { route: 'main', pool: 'v2' })).toBe(counts.sent)
  expect(await gateway.metric('infergate_mirror_compared_total', { result: 'different' })).toBe(
    counts.different,
  )
  expect(await gateway.metric('infergate_mirror_seconds_count', { route: 'main', of: 'primary' })).toBe(
    counts.answered,
  )
})

it('a call with no-store is not copied', async () => {
  second.script = summing
  const asked = second.asked.length
  const { sent } = await countsOf('main')
  await predict('sum', [31], { 'cache-control': 'no-store' })
  // Its worker has told of it when it tells of a later one.
  for (let i = 0; i < 20; i++) await predict('sum', [32 + i])
  await eventually(async () => expect((await countsOf('main')).sent).toBe(sent + 20))
  expect(second.asked.slice(asked).map(({ body }) => body.toString())).not.toContain('{"instances":[31]}')
})

it('a body that streams is copied whole, whatever the method and path', async () => {
  second.script = first.script = (_, response) => void response.end('done')
  const asked = second.asked.length
  const body = Buffer.alloc(200_000, 'x')
  const answer = await call(gateway.port, '/opaque/upload?a=b', { method: 'PUT', body: body.toString() })
  expect(answer.text).toBe('done')
  await eventually(() => expect(second.asked.length).toBe(asked + 1))
  const copy = second.asked.at(-1)
  expect([copy?.method, copy?.path, copy?.body.length]).toEqual(['PUT', '/opaque/upload?a=b', body.length])
  first.script = summing
})

it('a pool that cannot be reached fails no call, and is asked seldom after its first failures', async () => {
  first.script = summing
  for (let i = 0; i < 100; i++) expect((await predict('away', [i])).status).toBe(200)
  await eventually(async () => {
    const { sent, failed, dropped } = await countsOf('away')
    expect(sent + (dropped['failing'] ?? 0) + (dropped['no-backend'] ?? 0) + (dropped['busy'] ?? 0)).toBe(100)
    expect(failed).toBe(sent)
  })
  const { sent } = await countsOf('away')
  expect(sent).toBeLessThan(100)
  expect(sent).toBeGreaterThan(0)
})

it('a pool that hangs has 256 copies at most, and no call waits for it', async () => {
  const held: (() => void)[] = []
  const hang: Script = (_, response) => void held.push(() => response.end('{}'))
  second.script = hang
  const asked = second.asked.length
  const all = await Promise.all(
    Array.from({ length: 20 }, async (_, lane) => {
      const answers = []
      for (let i = 0; i < 30; i++) answers.push(await predict('hang', [lane * 1000 + i]))
      return answers
    }),
  )
  for (const { status } of all.flat()) expect(status).toBe(200)
  await eventually(async () => {
    const { sent, dropped } = await countsOf('hang')
    expect(sent + Object.values(dropped).reduce((sum, count) => sum + count, 0)).toBe(600)
  })
  const { sent, dropped } = await countsOf('hang')
  expect(sent).toBeGreaterThan(100)
  expect(sent).toBeLessThanOrEqual(256)
  expect(dropped['full']).toBe(600 - sent)
  expect(second.asked.length - asked).toBeLessThanOrEqual(256)
  for (const answer of held) answer()
  second.script = summing
})

const patch = (route: string, mirror: unknown) =>
  gateway.ask(`/api/v1/routes/${route}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: { mirror },
  })

it('share and pool change while calls run, and only to pools that the route names', async () => {
  second.script = summing
  const refused = await patch('split', { share: 0.5 })
  expect([refused.status, refused.text]).toEqual([400, expect.stringMatching(/say which pool/)])
  expect((await patch('split', { pool: 'away' })).text).toMatch(/names no pool \\"away\\"; it names v1, v2/)
  expect((await patch('main', { pool: 'v1' })).text).toMatch(/answers the calls of the route/)
  expect((await patch('nobody', { share: 1 })).status).toBe(404)
  const started = await patch('split', { pool: 'v2', compare: true })
  expect(started.json).toMatchObject({ route: 'split', mirror: { pool: 'v2', share: 1, compare: true } })
  for (let i = 0; i < 10; i++) await predict('split', [i])
  await eventually(async () => expect((await countsOf('split')).equal).toBe(10))

  const stopped = await runInfergate(['routes', 'mirror', 'split', '--share', '0%', '--admin', gateway.admin])
  expect([stopped.code, stopped.stderr]).toEqual([0, ''])
  expect(stopped.stdout).toMatch(/v2 +0 % +yes/)
  const asked = second.asked.length
  for (let i = 20; i < 30; i++) await predict('split', [i])
  expect(second.asked.length).toBe(asked)
  const list = await runInfergate(['routes', 'list', '--admin', gateway.admin])
  expect(list.stdout).toMatch(/^main +- +v1 +- +100 %/m)
})
