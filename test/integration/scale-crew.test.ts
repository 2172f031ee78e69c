/** Several gateways on one Redis: one leads under a growing token, and what all measure is added up. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Demand } from '../../src/control/scale/demand.ts'
import { SharedScaleGroup } from '../../src/control/scale/scale-group.ts'
import { createScaleGroupStore } from '../../src/control/scale/scale-group-store.ts'
import { silentLog } from '../../src/core/log.ts'
import type { SharedStore } from '../../src/core/shared.ts'
import { createRedisStore } from '../../src/data/cache/tiers/redis.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { HISTOGRAM_SIZE } from '../../src/lib/log-histogram.ts'
import { eventually } from '../support/eventually.ts'
import { startRedis, type TestServer } from '../support/servers.ts'

let redis: TestServer
let opened: { store: SharedStore; crew: SharedScaleGroup }[]

beforeEach(async () => {
  redis = await startRedis()
  opened = []
})
afterEach(async () => {
  for (const { store, crew } of opened) {
    crew.close()
    store.close()
  }
  await redis.stop()
})

async function join(self: string): Promise<SharedScaleGroup> {
  const store = createRedisStore({ name: 'redis', url: redis.url })
  await eventually(() => expect(store.connected).toBe(true))
  const crew = new SharedScaleGroup({
    store: createScaleGroupStore(store),
    instance: self,
    clock: systemClock,
    log: silentLog,
  })
  opened.push({ store, crew })
  crew.start()
  return crew
}

const bucket = { offered: 3, answered: 5, concurrency: 2, rise: 1 }
const demand = (): Demand => ({
  at: 0,
  buckets: [bucket, bucket],
  queue: 4,
  inflight: 6,
  oldestWaitMs: 10,
  service: [
    {
      inflight: 1,
      count: 2,
      sumMs: 40,
      sumSquaresMs: 800,
      histogram: new Float64Array(HISTOGRAM_SIZE).fill(1),
    },
  ],
  latency: new Float64Array(HISTOGRAM_SIZE),
  replicas: { ready: 2, startingMs: [], slow: 0, draining: 0 },
  startsMs: [],
})

it('one leads; when it goes another takes over under a higher token', async () => {
  const first = await join('a')
  await eventually(() => expect(first.role()).toBe('leader'))
  const second = await join('b')
  await eventually(() => expect(second.role()).toBe('follower'))
  expect(second.token).toBe(first.token)
  const { token } = first
  first.close()
  await eventually(() => expect(second.role()).toBe('leader'), { timeoutMs: 10_000 })
  expect(second.token).toBeGreaterThan(token)
})

it('what the others measure is added to our own', async () => {
  const [first, second] = [await join('a'), await join('b')]
  await eventually(
    () => {
      second.exchange('ranker', demand())
      const sum = first.exchange('ranker', demand())
      expect(sum.buckets.at(-1)).toEqual({ offered: 6, answered: 10, concurrency: 4, rise: 2 })
      expect(sum).toMatchObject({ queue: 8, inflight: 12, replicas: { ready: 2 } })
    },
    { timeoutMs: 8_000 },
  )
})

it('while Redis is away the leader goes on with what the others said last', async () => {
  const [first, second] = [await join('a'), await join('b')]
  await eventually(
    () => {
      second.exchange('ranker', demand())
      expect(first.exchange('ranker', demand()).queue).toBe(8)
    },
    { timeoutMs: 8_000 },
  )
  const [roles, token] = [[first.role(), second.role()].toSorted(), first.token]
  expect(roles).toEqual(['follower', 'leader'])
  await redis.stop()
  const until = performance.now() + 2_500
  await eventually(() => expect(performance.now()).toBeGreaterThan(until))
  expect([first.role(), second.role()].toSorted()).toEqual(roles)
  expect(first.token).toBe(token)
  expect(first.exchange('ranker', demand()).queue).toBe(8)
})

it('a gateway that has never reached Redis speaks for itself', async () => {
  const crew = new SharedScaleGroup({
    store: {
      lead: () => Promise.reject(new Error('away')),
      publish: () => Promise.reject(new Error('away')),
    },
    instance: 'a',
    clock: systemClock,
    log: silentLog,
  })
  crew.start()
  expect(crew.role()).toBe('alone')
  expect(crew.exchange('ranker', demand()).queue).toBe(4)
  crew.close()
})

it('warns of a Redis that stays away, and not of one whose connection is not there yet at the start', async () => {
  let isThere = false
  const events: string[] = []
  const lead = () => (isThere ? { isLeader: true, token: 7 } : Promise.reject(new Error('still connecting')))
  const crew = new SharedScaleGroup({
    store: { lead: async () => lead(), publish: async () => [] },
    instance: 'a',
    clock: systemClock,
    log: {
      ...silentLog,
      info: (event, fields) => events.push(`${event} ${JSON.stringify(fields)}`),
      warn: (event) => events.push(event),
    },
  })
  crew.start()
  await Promise.resolve()
  isThere = true
  await eventually(() => expect(events).toEqual(['scale.role {"role":"leader","fencingToken":7}']))
  isThere = false
  await eventually(() => expect(events.slice(1)).toEqual(['scale.crew']))
  crew.close()
})
