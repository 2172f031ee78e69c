/** A pool that gateways on one Redis serve together: a tenant whose calls come to both has no more than its part of it. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { exchangedLimits } from '../../src/app/shared-limits.ts'
import { LimitExchange } from '../../src/control/limits/limit-exchange.ts'
import { createLimitStore, type LimitStore } from '../../src/control/limits/limit-store.ts'
import { silentLog } from '../../src/core/log.ts'
import type { SharedStore } from '../../src/core/shared.ts'
import type { TenantShare } from '../../src/core/tenant-share.ts'
import { PeerDemands } from '../../src/data/balance/fair/peer-demands.ts'
import { PeerShares } from '../../src/data/balance/fair/peer-shares.ts'
import { Accounts } from '../../src/data/balance/fair/share-table.ts'
import { createLoadTable } from '../../src/data/balance/table.ts'
import { createRedisStore } from '../../src/data/cache/tiers/redis.ts'
import { allocateLimits } from '../../src/data/decision/limit-table.ts'
import { PeerLimits } from '../../src/data/decision/peer-limits.ts'
import { eventually } from '../support/eventually.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { tenantTables } from '../support/tenant-tables.ts'

let redis: TestServer
let shared: SharedStore

beforeAll(async () => {
  redis = await startRedis()
  shared = createRedisStore({ name: 'redis', url: redis.url })
  await eventually(() => expect(shared.connected).toBe(true))
})
afterAll(async () => {
  shared.close()
  await redis.stop()
})

/** A gateway with one worker, whose column of the pool is another than that of the others. */
function gateway(name: string, column: number, clock: FakeClock) {
  const load = createLoadTable(8, 1)
  const table = load.shares
  const viewer = { worker: 0, now: () => clock.now() }
  const limits = new PeerLimits(allocateLimits(1, 64), viewer)
  const { quotas } = tenantTables(viewer.now)
  const { exchange: ask, leave } = createLimitStore(shared)
  const state = { answered: 0 }
  const store: LimitStore = {
    connected: true,
    leave,
    async exchange(request) {
      const answer = await ask(request)
      setImmediate(() => state.answered++)
      return answer
    },
  }
  const exchange = new LimitExchange({
    store,
    limits: exchangedLimits({
      limits,
      quotas,
      shares: new PeerShares(table),
      demands: new PeerDemands({ ...load, now: viewer.now }),
    }),
    clock,
    log: silentLog,
    gateway: name,
  })
  return { accounts: new Accounts(table, { workers: 1, worker: 0, column, pool: 7 }), exchange, state }
}

const tenant = (name: string, weight: number): TenantShare => ({
  tenant: name,
  weight,
  priority: 1,
  floor: 0,
})

/** Serves rows to those who wait, whoever is next. */
function serve(
  accounts: Accounts,
  waiting: readonly TenantShare[],
  rows: number,
  got: Map<TenantShare, number>,
) {
  for (let row = 0; row < rows; row++) {
    const tag = (share: TenantShare) => accounts.tag(accounts.of(share))
    const next = waiting.reduce((best, share) => (tag(share) < tag(best) ? share : best))
    accounts.serve(accounts.of(next))
    accounts.charge(next, 1)
    got.set(next, (got.get(next) ?? 0) + 1)
  }
}

it.each([
  [1, 1],
  [1, 1.5],
])('by weight, %d and %d, of what both serve', async (first, second) => {
  const clock = new FakeClock()
  const [a, b] = [tenant('a', first), tenant('b', second)]
  const gateways = [gateway(`x${second}`, 0, clock), gateway(`y${second}`, 3, clock)]
  for (const { exchange, accounts } of gateways) {
    exchange.start()
    for (const share of [a, b]) accounts.enter(accounts.of(share))
  }
  const got = new Map<TenantShare, number>()
  // The first of them has calls of one tenant alone.
  for (let round = 0; round < 50; round++) {
    const before = gateways.map(({ state }) => state.answered)
    if (round === 5) got.clear()
    serve((gateways[0] as (typeof gateways)[0]).accounts, [a], 20, got)
    serve((gateways[1] as (typeof gateways)[0]).accounts, [a, b], 30, got)
    clock.advance(100)
    await eventually(() => {
      for (const [i, { state }] of gateways.entries()) expect(state.answered).toBeGreaterThan(before[i] ?? 0)
    })
  }
  const part = (got.get(a) ?? 0) / ((got.get(a) ?? 0) + (got.get(b) ?? 0))
  expect(part).toBeGreaterThan((first / (first + second)) * 0.9)
  expect(part).toBeLessThan((first / (first + second)) * 1.1)
  for (const { exchange } of gateways) await exchange.close()
})
