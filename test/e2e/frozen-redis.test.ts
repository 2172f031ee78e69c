/**
 * A cache that hangs is worse than none, unless it costs nothing: Redis is stopped under load with its
 * connections open, and no call fails or waits longer than the read timeout and ten milliseconds.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { instances, MEMORY, PREDICT, redisTier, settings } from '../support/settings.ts'

const READ_TIMEOUT_MS = 100
const BACKEND_MS = 5
/** What the gateway may add to the read timeout. */
const SLACK_MS = 10
/** Two cores and other work beside: what this machine's scheduler may add to one call, as well as it may without Redis. */
const NOISE_MS = 80
const PER_ROUND = 60
const CALLERS = 4

let redis: TestServer
let backend: ScriptedBackend
let gateway: RunningGateway
let next = 0

beforeAll(async () => {
  redis = await startRedis()
  backend = await startBackend((asked, response, request) => {
    setTimeout(() => void summing(asked, response, request), BACKEND_MS)
  })
  gateway = await startGateway({
    yaml: settings({ backends: [backend], tiers: [redisTier(redis, `${READ_TIMEOUT_MS}ms`)] }),
  })
  await gateway.ready('main')
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all([redis?.stop(), backend?.close()])
})

interface Timed {
  readonly status: number
  readonly ms: number
}

/** Calls that nobody asked before, a few at a time. */
async function load(count = PER_ROUND): Promise<Timed[]> {
  const timed: Timed[] = []
  await Promise.all(
    Array.from({ length: CALLERS }, async () => {
      for (let i = 0; i < count / CALLERS; i++) {
        const began = performance.now()
        const { status } = await gateway.post(PREDICT, instances(++next))
        timed.push({ status, ms: performance.now() - began })
      }
    }),
  )
  return timed
}

const slowest = (timed: readonly Timed[]) => Math.max(...timed.map(({ ms }) => ms))
const failed = (timed: readonly Timed[]) => timed.filter(({ status }) => status !== 200)
const median = (timed: readonly Timed[]) =>
  timed.map(({ ms }) => ms).sort((a, b) => a - b)[Math.floor(timed.length / 2)] ?? 0

const skipped = () =>
  gateway.metric('infergate_cache_operations_total', { tier: 'redis', outcome: 'skipped' })
const lookups = (outcome: string) =>
  gateway.metric('infergate_cache_operations_total', { tier: 'redis', operation: 'get', outcome })

/** Resolves when an answer comes from Redis. */
async function used(): Promise<void> {
  const body = instances(++next)
  await eventually(
    async () => {
      const { headers } = await gateway.post(PREDICT, body)
      expect(headers['cache-status']).toMatch(/; hit; .*detail=redis$/)
    },
    { timeoutMs: 15_000 },
  )
}

it('costs no failed call, a bounded wait, and then nothing', { timeout: 90_000 }, async () => {
  await load(20)
  const timed: Timed[] = []
  // A call that waited longer for Redis would do so each time it freezes; a busy machine does not spoil each.
  const control = await eventually(
    async () => {
      redis.thaw()
      await used()
      const before = await load()
      const errors = await lookups('error')
      redis.freeze()
      const frozen = await load()
      timed.push(...before, ...frozen)
      expect(await lookups('error')).toBeGreaterThan(errors)
      expect(slowest(frozen)).toBeLessThan(slowest(before) + READ_TIMEOUT_MS + SLACK_MS + NOISE_MS)
      return before
    },
    { timeoutMs: 30_000 },
  )
  expect(failed(timed)).toEqual([])

  // The breaker is open by now, or the connection is being made anew: nothing is asked, nothing waits.
  await eventually(async () => {
    const before = await skipped()
    await load(CALLERS)
    expect(await skipped()).toBeGreaterThan(before)
  })
  // A call that waited for Redis would wait in every round; a busy machine does not spoil every round.
  await eventually(
    async () => {
      const errors = await lookups('error')
      const open = await load()
      expect(failed(open)).toEqual([])
      // The breaker's own probe is one look-up of one call.
      expect((await lookups('error')) - errors).toBeLessThanOrEqual(1)
      expect(median(open)).toBeLessThan(median(control) + SLACK_MS)
      expect(slowest(open)).toBeLessThan(slowest(control) + SLACK_MS + NOISE_MS)
    },
    { timeoutMs: 10_000 },
  )
})

it('costs the first calls of a model no more, and a herd of them is still no crowd', async () => {
  redis.thaw()
  const fresh = await startGateway({
    yaml: settings({ backends: [backend], tiers: [MEMORY, redisTier(redis, `${READ_TIMEOUT_MS}ms`)] }),
  })
  await fresh.ready('main')
  const timed = async (path: string, body: unknown): Promise<Timed> => {
    const began = performance.now()
    const { status } = await fresh.post(path, body)
    return { status, ms: performance.now() - began }
  }
  for (let i = 0; i < 20; i++) await timed(PREDICT, instances(-1, i))
  redis.freeze()
  // Nothing is known of this model yet, and Redis is the one to ask.
  // A call that waited longer for Redis would do so for every model; a busy machine does not spoil all three.
  const firsts: Timed[] = []
  for (const model of ['a', 'b', 'c']) firsts.push(await timed(`/v1/models/${model}:predict`, instances(1)))
  expect(failed(firsts)).toEqual([])
  expect(Math.min(...firsts.map(({ ms }) => ms))).toBeLessThan(
    READ_TIMEOUT_MS + BACKEND_MS + SLACK_MS + NOISE_MS,
  )

  const before = backend.asked.length
  const herd = await Promise.all(
    Array.from({ length: 50 }, () => timed('/v1/models/herd:predict', instances(2))),
  )
  expect(failed(herd)).toEqual([])
  expect(backend.asked.length - before).toBe(1)
  await fresh.stop()
})

it('is used again after it thaws', async () => {
  redis.thaw()
  await used()
})
