/**
 * The limits of a tenant over gateways on one Redis, on processes as their users run them: one of four workers and one of one.
 * Redis is frozen, killed and started again.
 */
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { newKey } from '../../src/cli/keys.ts'
import { type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { redisSays, startRedis, type TestServer } from '../support/servers.ts'
import { instances, PREDICT, redisTier } from '../support/settings.ts'

const RATE = 100
const WINDOW_MS = 5_000
const key = newKey({ name: 'k', tenant: 'busy' })
const other = newKey({ name: 'o', tenant: 'metered' })
const reader = newKey({ name: 'r', tenant: 'reader' })
let redis: TestServer
let backend: ScriptedBackend
const gateways: RunningGateway[] = []

const yaml = (workers: number) => `
server: { workers: ${workers} }
auth: { keys: [${[key, other, reader].map(({ line }) => line.replace(/^- /, '')).join(', ')}] }
tenants:
  busy: { rate: { requests: ${RATE}/s, burst: 500ms } }
  metered: { quota: { requests: 40/d, rows: 1k/mo } }
  reader: { quota: { tokens: 1k/mo } }
cache: { tiers: [{ name: memory, type: memory }, ${JSON.stringify(redisTier(redis))}] }
pools: { main: { backends: [{ url: "${backend.url}" }] } }
routes:
  - { name: embeddings, match: { path: /v1/embeddings }, protocol: openai, pool: main }
  - { name: main, pool: main, cache: { rows: never } }
`

beforeAll(async () => {
  redis = await startRedis()
  backend = await startBackend(summing)
  // One after the other: threads that all start at once take long on a busy machine.
  for (const workers of [4, 1]) gateways.push(await startGateway({ yaml: yaml(workers) }))
  await Promise.all(gateways.map((gateway) => gateway.ready('main')))
})
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()))
  await Promise.all([backend.close(), redis.stop()])
})

interface Load {
  /** When a call was let through, by gateway. */
  readonly granted: readonly number[][]
  /** What half of the calls took at most. */
  tookHalf(): number
  stop(): Promise<void>
}

/** Calls of the tenant at each gateway, some 200 a second there, each on a connection of its own, so that all workers get some; until the test's end at the latest. */
function load(to: readonly RunningGateway[]): Load {
  const state = { isOver: false }
  const times: number[] = []
  const granted = to.map((): number[] => [])
  const failures: unknown[] = []
  const caller = async (gateway: RunningGateway, through: number[] | undefined) => {
    for (let due = performance.now(); !state.isOver; due = Math.max(due + 20, performance.now() - 100)) {
      const began = performance.now()
      const { status } = await gateway.post(PREDICT, instances(1), { authorization: `Bearer ${key.key}` })
      if (status === 200) through?.push(performance.now())
      else if (status !== 429) failures.push(status)
      times.push(performance.now() - began)
      await passed(Math.max(0, due - performance.now()))
    }
  }
  const callers = to.flatMap((gateway, i) =>
    Array.from({ length: 4 }, () =>
      caller(gateway, granted[i]).catch((error: unknown) => failures.push(error)),
    ),
  )
  const end = async () => {
    state.isOver = true
    await Promise.all(callers)
  }
  onTestFinished(end)
  return {
    granted,
    tookHalf: () => times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0,
    async stop() {
      await end()
      expect(failures).toEqual([])
    },
  }
}

const passed = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** The calls that were let through by each gateway in the last so many milliseconds. */
function lately({ granted }: Load, ms: number): number[] {
  const now = performance.now()
  return granted.map((all) => all.filter((time) => time >= now - ms).length)
}

/** The fewest and the most calls in each window of five seconds of the last six. */
function windows({ granted }: Load): { readonly fewest: number; readonly most: number } {
  const from = performance.now() - 6_000
  const all = granted.flat()
  const counts = Array.from({ length: 11 }, (_, i) => {
    const at = from + i * 100
    return all.filter((time) => time >= at && time < at + WINDOW_MS).length
  })
  return { fewest: Math.min(...counts), most: Math.max(...counts) }
}

// A gateway that counts wrongly does so all the time; a machine that is busy for a moment does not spoil each look.
const settled = { timeoutMs: 25_000 }

const reasons = async (gateway: RunningGateway) => (await gateway.ask('/readyz')).text

async function letThroughOnce(running: Load): Promise<void> {
  await eventually(() => {
    const { fewest, most } = windows(running)
    expect(fewest).toBeGreaterThanOrEqual(0.95 * 5 * RATE)
    expect(most).toBeLessThanOrEqual(1.1 * 5 * RATE)
    return { fewest, most }
  }, settled)
}

it('let the rate through once, over four workers and two gateways', async () => {
  const running = load(gateways)
  // The burst is spent in the first second and a half.
  await passed(7_500)
  await letThroughOnce(running)
  const each = lately(running, WINDOW_MS)
  expect(Math.min(...each)).toBeGreaterThan(0.2 * 5 * RATE)
  await running.stop()
}, 60_000)

it.each([
  ['frozen', async () => redis.freeze(), async () => redis.thaw()],
  ['killed', () => redis.stop(), () => redis.start()],
])(
  'have a half of it each while Redis is %s, and no call waits for it',
  async (_, away, back) => {
    const running = load(gateways)
    await away()
    let isAway = true
    const come = async () => {
      if (isAway) await back()
      isAway = false
    }
    onTestFinished(come)
    await eventually(async () => {
      for (const gateway of gateways) expect(await reasons(gateway)).toMatch(/1\/2 of each limit/)
    }, settled)
    await eventually(() => {
      for (const { logs } of gateways)
        expect(logs.some(({ event, part }) => event === 'limits.away' && /1\/2/.test(`${part}`))).toBe(true)
    })
    await passed(3_000)
    await eventually(() => {
      for (const calls of lately(running, 3_000)) {
        expect(calls).toBeGreaterThan(0.85 * 3 * (RATE / 2))
        expect(calls).toBeLessThanOrEqual(1.1 * 3 * (RATE / 2))
      }
    }, settled)
    // A call that waited for Redis would wait a half second, and so would most of them.
    expect(running.tookHalf()).toBeLessThan(300)
    await come()
    await eventually(async () => {
      for (const gateway of gateways) expect(await reasons(gateway)).not.toMatch(/tenants:/)
    }, settled)
    await passed(3_000)
    await letThroughOnce(running)
    await running.stop()
  },
  120_000,
)

it('count a quota once, over a restart, and say when there is more', async () => {
  const ask = (gateway: RunningGateway | undefined) =>
    (gateway as RunningGateway).post(PREDICT, instances(1), { authorization: `Bearer ${other.key}` })
  for (let i = 0; i < 15; i++) for (const gateway of gateways) expect((await ask(gateway)).status).toBe(200)
  await gateways[1]?.restart()
  await gateways[1]?.ready('main')
  // What was used before is known a tenth of a second after the first call.
  expect((await ask(gateways[1])).status).toBe(200)
  await eventually(async () => {
    const answer = await ask(gateways[1])
    expect(answer.status).toBe(429)
    const seconds = Number(answer.headers['retry-after'])
    expect(seconds).toBeGreaterThan(0)
    expect(seconds).toBeLessThanOrEqual(86_400)
    expect(answer.headers['ratelimit-policy']).toBe('"requests-quota";q=40;w=86400')
    expect(answer.headers['ratelimit']).toBe(`"requests-quota";r=0;t=${seconds}`)
  })
  await eventually(async () => expect((await ask(gateways[0])).status).toBe(429))
  const day = new Date().toISOString().slice(0, 10)
  const counts = await redisSays(redis.port, `HVALS ig1:shared:{limits}:quota:${day}`)
  expect(Number(/\r\n(\d+)\r\n$/.exec(counts)?.[1])).toBeLessThanOrEqual(60)
})

it('count tokens once, wherever they were taken', async () => {
  // The server says nothing of them, so the body counts: some 105.
  const body = { input: 'x'.repeat(380), ...instances(1) }
  const ask = async (gateway: RunningGateway | undefined) =>
    (await gateway?.post('/v1/embeddings', body, { authorization: `Bearer ${reader.key}` }))?.status
  let calls = 0
  await eventually(async () => {
    for (const gateway of gateways) {
      const status = await ask(gateway)
      if (status === 200) calls++
      expect(status).toBe(429)
    }
    expect(calls).toBeGreaterThanOrEqual(10)
  })
  // The two may not have heard of each other's last calls.
  expect(calls).toBeLessThanOrEqual(20)
})
