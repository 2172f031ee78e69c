/** Rollouts on real processes: two pools of small backends under load, a good version and bad ones, and two gateways that share a Redis. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Script, type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway } from '../support/gateway.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { instances, MEMORY, PREDICT, redisTier, settings, TWO } from '../support/settings.ts'

interface Shown {
  readonly phase: string
  readonly startedAt: string
  readonly isOver: boolean
  readonly sharePercent: number
  readonly reason?: string
  readonly sentence: string
  readonly history: { readonly sentence: string }[]
}

let redis: TestServer
let v1: ScriptedBackend
let v2: ScriptedBackend
let gateways: RunningGateway[] = []

const SPLIT = [
  { pool: 'v1', weight: 100 },
  { pool: 'v2', weight: 0 },
]
const WITHIN = { timeout: 150_000 }

beforeAll(async () => {
  redis = await startRedis()
  v1 = await startBackend()
  v2 = await startBackend()
  const base = settings({ tiers: [MEMORY, redisTier(redis)], server: TWO })
  const pool = ({ url }: ScriptedBackend) => ({
    ...base.pools?.['main'],
    backends: [{ url }],
    // The judge is to see the failures, and not to be spared them.
    outlier: { consecutive: 100_000 },
    retry: { max: 0 },
  })
  const yaml = {
    ...base,
    pools: { v1: pool(v1), v2: pool(v2) },
    routes: [
      {
        name: 'ranker',
        split: SPLIT,
        cache: { rows: 'never' as const },
        warm: { keep: '64KiB', rate: '1000/s' },
      },
    ],
  }
  gateways = await Promise.all([startGateway({ yaml }), startGateway({ yaml })])
  await Promise.all(gateways.flatMap((gateway) => [gateway.ready('v1'), gateway.ready('v2')]))
})
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()))
  await Promise.all([v1?.close(), v2?.close()])
  await redis?.stop()
})
beforeEach(async () => {
  v1.script = summing
  v2.script = summing
  // What a test that failed has left.
  await at(0).ask(ROLLOUT, { method: 'DELETE' })
  for (const i of [0, 1]) await eventually(async () => expect(await weights(i)).toEqual({ v1: 100, v2: 0 }))
})

const at = (i: number) => gateways[i] as RunningGateway
const ROLLOUT = '/api/v1/rollouts/ranker'
const shown = async (i: number) => (await at(i).ask(ROLLOUT)).json as Shown

async function begin(more: object) {
  const body = { route: 'ranker', to: 'v2', compare: 0, warm: 'no', hold: '1s', ...more }
  const { status, json } = await at(0).ask('/api/v1/rollouts', { method: 'POST', body })
  expect([status, json]).toEqual([201, expect.objectContaining({ from: 'v1', to: 'v2', phase: 'measuring' })])
  const { startedAt } = json as Shown
  await eventually(async () => expect((await shown(1)).startedAt).toBe(startedAt))
}

let input = 0
/** Calls with new inputs at both gateways, until the rollout is over; gives their statuses. */
async function callUntilOver(): Promise<{ readonly statuses: Map<number, number>; readonly most: number }> {
  const statuses = new Map<number, number>()
  const now = { isOver: false }
  let most = 0
  const caller = async (i: number) => {
    while (!now.isOver) {
      const { status } = await at(i).post(PREDICT, instances(input++, 1))
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }
  const watch = async () => {
    await eventually(
      async () => {
        const { sharePercent, isOver: ended } = await shown(1)
        most = Math.max(most, sharePercent)
        now.isOver = ended
        expect(ended).toBe(true)
      },
      { timeoutMs: 120_000 },
    ).finally(() => {
      now.isOver = true
    })
  }
  await Promise.all([watch(), ...[0, 1, 0, 1, 0, 1].map(caller)])
  return { statuses, most }
}

const weights = async (i: number) => {
  const { json } = await at(i).ask('/api/v1/routes')
  const { routes } = json as { routes: { pools: { pool: string; weight: number }[] }[] }
  return Object.fromEntries(routes[0]?.pools.map(({ pool, weight }) => [pool, weight]) ?? [])
}

const failingHalf: Script = (asked, response, request) => {
  if (Math.random() < 0.5)
    response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":"no"}')
  else void summing(asked, response, request)
}
const otherwise: Script = (asked, response) => {
  const { instances: rows } = JSON.parse(asked.body.toString()) as { instances: number[] }
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ predictions: rows.map(() => -7) }))
}
const slow: Script = async (asked, response, request) => {
  await new Promise((resolve) => setTimeout(resolve, 150))
  await summing(asked, response, request)
}

describe('a rollout', () => {
  it.each([
    ['fails', failingHalf, 'errors'],
    ['is slow', slow, 'latency'],
  ] as const)(
    'to a version that %s goes back before it has 5 %% of the calls',
    WITHIN,
    async (_, script, reason) => {
      v2.script = script
      await begin({ steps: [2, 4, 100], maxLatency: reason === 'errors' ? 50 : 1.2 })
      const { most } = await callUntilOver()
      expect(await shown(1)).toMatchObject({ phase: 'back', reason, sharePercent: 0 })
      expect(most).toBeLessThan(5)
      for (const i of [0, 1])
        await eventually(async () => expect(await weights(i)).toEqual({ v1: 100, v2: 0 }))
    },
  )

  it('to a version that answers otherwise goes back before it has any call', WITHIN, async () => {
    v2.script = otherwise
    await begin({ steps: [2, 100], compare: 1, maxDifferences: 0.01, maxLatency: 50 })
    const { most } = await callUntilOver()
    expect(await shown(1)).toMatchObject({ phase: 'back', reason: 'differences' })
    expect(most).toBe(0)
    // No copies are sent any more.
    await eventually(async () => {
      const before = v2.asked.length
      for (let i = 0; i < 20; i++) await at(0).post(PREDICT, instances(input++, 1))
      expect(v2.asked.length).toBe(before)
    })
  })

  it(
    'to a good version fails no call, is followed by both gateways, and its way back finds the old answers',
    WITHIN,
    async () => {
      const kept = instances(-1, 5)
      // What backends serve is asked with the first calls, and may make their answers unreachable once.
      await eventually(async () => {
        const { headers } = await at(0).post(PREDICT, kept)
        expect(headers['cache-status']).toMatch(/; hit; /)
      })
      // Asked so often that it is among the hot ones.
      for (let n = 0; n < 20; n++) await at(0).post(PREDICT, kept)
      await begin({ steps: [10, 100], minSample: 20, maxLatency: 50, compare: 0.5, warm: 'yes' })
      const refused = await at(1).ask('/api/v1/routes/ranker', {
        method: 'PATCH',
        body: { weights: { v2: 50 } },
      })
      expect(refused.status).toBe(400)
      const { statuses } = await callUntilOver()
      expect([...statuses.keys()]).toEqual([200])
      await eventually(async () => expect(await shown(0)).toMatchObject({ phase: 'done', sharePercent: 100 }))
      for (const i of [0, 1])
        await eventually(async () => expect(await weights(i)).toEqual({ v1: 0, v2: 100 }))
      const { history } = await shown(0)
      const said = history.map(({ sentence }) => sentence).join('\n')
      expect(said).toMatch(/hot keys: looked at [1-9]\d*(?: of \d+)? calls in the pool v2/)
      const before = v1.asked.length
      const { code, stdout } = await runInfergate(['rollout', 'back', 'ranker', '--admin', at(1).admin])
      expect([code, stdout]).toEqual([0, expect.stringContaining('v1 has its calls back')])
      for (const i of [0, 1])
        await eventually(async () => expect(await weights(i)).toEqual({ v1: 100, v2: 0 }))
      expect((await at(0).post(PREDICT, kept)).headers['cache-status']).toMatch(/; hit; /)
      expect(v1.asked.length).toBe(before)
    },
  )

  it('says what it would do, and what is wrong with it', async () => {
    const admin = ['--admin', at(0).admin]
    const plan = await runInfergate([
      'rollout',
      'ranker',
      '--to',
      'v2',
      '--steps',
      '1,100',
      '--dry-run',
      ...admin,
    ])
    expect(plan.stdout).toMatch(/v2 has 1 % of the calls: at least \d+ calls of its own/)
    const wrong = await runInfergate(['rollout', 'ranker', '--to', 'v3', ...admin])
    expect([wrong.code, wrong.stderr]).toEqual([
      1,
      expect.stringContaining('has no pool "v3"; it has v1, v2'),
    ])
    const list = await runInfergate(['rollout', 'status', ...admin])
    expect(list.stdout).toMatch(/ranker\s+v1 → v2\s+back/)
  })
})
