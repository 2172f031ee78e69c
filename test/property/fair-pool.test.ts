/**
 * Nothing is idle while somebody waits: the pool of each worker, over one table, under any sequence of calls of tenants with
 * weights, classes, and labels of the backends that they may use.
 */
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import type { Backend } from '../../src/core/backend.ts'
import { shareOf, type TenantShare } from '../../src/core/tenant-share.ts'
import { Clients } from '../../src/data/backend/clients.ts'
import type { Permit } from '../../src/data/backend/permit.ts'
import { BackendPool } from '../../src/data/backend/pool.ts'
import { createOutlierState } from '../../src/data/balance/outliers/outlier-state.ts'
import { isLabelled } from '../../src/data/balance/policies/candidates.ts'
import { createLoadTable, freeOf, tableForWorker } from '../../src/data/balance/table.ts'
import { Cancel } from '../../src/lib/cancel.ts'
import { FakeClock } from '../support/fake-clock.ts'

const TIERS = [undefined, 'gold', 'silver'] as const
/** The time after which a place that was left to another worker is anybody's. */
const RETAKE_MS = 5

const tenants = fc
  .array(
    fc.record({
      weight: fc.constantFrom(1, 3),
      priority: fc.constantFrom('critical' as const, 'standard' as const, 'sheddable' as const),
      tier: fc.constantFrom(...TIERS),
    }),
    { minLength: 2, maxLength: 12 },
  )
  .map((all) =>
    all.map(({ tier, ...one }, at) =>
      shareOf(`t${at}`, { ...one, ...(tier === undefined ? {} : { backends: { tier } }) }),
    ),
  )
const places = fc.array(
  fc.record({ tier: fc.constantFrom(...TIERS), concurrency: fc.integer({ min: 1, max: 3 }) }),
  {
    minLength: 1,
    maxLength: 3,
  },
)
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('enter' as const),
      by: fc.nat(11),
      at: fc.nat(1),
      calls: fc.integer({ min: 1, max: 20 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('end' as const), which: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), which: fc.nat(60) }) },
)

const clients = new Clients({
  connections: 1,
  connectTimeoutMs: 1,
  bodyTimeoutMs: 1,
  refuse: () => undefined,
})
afterAll(() => clients.close())

interface Waiting {
  readonly share: TenantShare
  readonly cancel: Cancel
}

class World {
  readonly clock = new FakeClock()
  readonly table
  readonly backends: readonly Backend[]
  readonly running: { readonly pool: BackendPool; readonly permit: Permit }[] = []
  readonly waiting = new Set<Waiting>()
  readonly #pools: readonly BackendPool[]
  #rung: Int32Array

  constructor(
    workers: number,
    given: readonly { tier: string | undefined; concurrency: number }[],
    shares: readonly TenantShare[],
  ) {
    this.table = createLoadTable(8, workers)
    this.#rung = Int32Array.from(this.table.bell)
    const rest = {
      generation: 1,
      models: [],
      weight: 1,
      state: 'ready',
      reason: '',
      readySince: -1e9,
    } as const
    this.backends = given.map(({ tier, concurrency }, slot) => ({
      ...{ ...rest, id: `b${slot}`, slot, url: `http://127.0.0.1:${slot + 1}`, concurrency },
      ...(tier === undefined ? {} : { labels: { tier } }),
    }))
    this.#pools = Array.from({ length: workers }, (_, worker) => this.#newPool(worker, shares))
  }

  #newPool(worker: number, shares: readonly TenantShare[]): BackendPool {
    const table = tableForWorker(this.table, worker)
    const pool = new BackendPool(
      { name: 'p', table, state: createOutlierState(8), clients, clock: this.clock, random: () => 0.5 },
      {
        ...{
          policy: 'peak-ewma',
          retry: { max: 0, budget: {} },
          hedge: undefined,
          outlier: {},
          isFromZero: false,
        },
        ...{ limit: { mode: 'declared' }, queue: { maxWaitMs: 1e9, targetMs: 1e9, maxDepth: 1e6 } },
        shares: shares.filter(({ labels, floor }) => labels !== undefined || floor > 0),
      },
    )
    pool.apply({ pool: 'p', revision: 1, backends: this.backends })
    return pool
  }

  enter(share: TenantShare, worker: number): void {
    const pool = this.#pools[worker % this.#pools.length] as BackendPool
    const waiting = { share, cancel: new Cancel() }
    const need = {
      ...{ model: undefined, version: undefined, key: undefined, labels: share.labels },
      ...{ deadline: this.clock.now() + 1e9, signal: waiting.cancel, share },
    }
    const begin = (permit: Permit) => void this.running.push({ pool, permit })
    try {
      const entered = pool.enter(need, [])
      if (!(entered instanceof Promise)) return begin(entered)
      this.waiting.add(waiting)
      entered.then(begin, () => {}).finally(() => this.waiting.delete(waiting))
    } catch {
      // No backend has its labels.
    }
  }

  end(which: number): void {
    const [ended] = this.running.splice(which % Math.max(1, this.running.length), 1)
    ended?.pool.leave(ended.permit, 1, 'ok')
  }

  /** Lets the workers hear each other, and the time pass after which what was left to one of them is anybody's. */
  async settle(): Promise<void> {
    for (let round = 0; round < 4; round++) {
      for (let tick = 0; tick < 4; tick++) {
        for (const [worker, count] of this.table.bell.entries())
          if (count !== this.#rung[worker]) {
            this.#rung[worker] = count
            this.#pools[worker]?.onBell()
          }
        for (let turn = 0; turn < 4; turn++) await Promise.resolve()
      }
      this.clock.advance(RETAKE_MS)
    }
    for (let turn = 0; turn < 4; turn++) await Promise.resolve()
  }

  /** Those who wait although a backend that may serve them has a free place. */
  get idle(): string[] {
    return [...this.waiting].flatMap(({ share }) =>
      this.backends.some(
        (backend) => isLabelled(backend, share.labels) && freeOf(this.table, backend.slot) > 0,
      )
        ? [share.tenant]
        : [],
    )
  }
}

describe('nothing is idle while somebody waits', () => {
  it.each([1, 2])('with %i workers', { timeout: 120_000 }, async (workers) => {
    await fc.assert(
      fc.asyncProperty(tenants, places, fc.array(step, { maxLength: 30 }), async (shares, given, steps) => {
        const world = new World(workers, given, shares)
        for (const one of steps) {
          if (one.do === 'enter')
            for (let call = 0; call < one.calls; call++)
              world.enter(shares[(one.by + call) % shares.length] as TenantShare, one.at)
          else if (one.do === 'end') world.end(one.which)
          else [...world.waiting][one.which]?.cancel.abort(new Error('left'))
          await world.settle()
          expect(world.idle).toEqual([])
        }
        while (world.running.length > 0) {
          world.end(0)
          await world.settle()
        }
        expect(world.waiting.size).toBe(0)
      }),
      { numRuns: 300 },
    )
  })
})
