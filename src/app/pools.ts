/**
 * The pools of the data plane, as the settings and the control plane have them: made, tuned and closed here, and
 * asked about their load by whoever scales or shows them.
 */
import { isDeepStrictEqual } from 'node:util'
import type { PoolSettings, Settings } from '../config/schema.ts'
import { localAddresses } from '../control/registry/addresses.ts'
import { addressRefusal, createAddressRules, type HostPort } from '../core/addresses.ts'
import type { PoolView } from '../core/backend.ts'
import { GatewayError } from '../core/errors.ts'
import { type ClientOptions, Clients } from '../data/backend/clients.ts'
import { BackendPool } from '../data/backend/pool.ts'
import type { PoolTraffic } from '../data/backend/traffic.ts'
import type { PoolTuning } from '../data/backend/tuning.ts'
import type { OutlierState } from '../data/balance/outliers/outlier-state.ts'
import { hearBell } from '../data/balance/policies/neighbours.ts'
import type { PolicyFactory } from '../data/balance/policies/policies.ts'
import { inflightOf, type LoadTable } from '../data/balance/table.ts'
import type { Clock } from '../lib/clock.ts'
import type { Wheel } from '../lib/wheel.ts'
import { type PoolLoad, poolLoad } from './demand.ts'
import { type PoolDefaults, poolTuning } from './settings-mapping.ts'

export interface PoolsParts {
  readonly poolDefaults: PoolDefaults
  readonly table: LoadTable
  readonly outliers: OutlierState
  /** Balancing policies besides the built-in ones, by name. */
  readonly policies?: Readonly<Record<string, PolicyFactory>> | undefined
  readonly clock: Clock
  readonly wheel: Wheel
  readonly random: () => number
  /** The gateway's own listeners, which no backend may be. */
  readonly ownListeners: () => readonly HostPort[]
  /** Longest silence in an answer that is under way, in milliseconds. */
  readonly bodyTimeoutMs: number
}

export class Pools {
  readonly #parts: PoolsParts
  readonly #closing = new AbortController()
  readonly #pools = new Map<string, BackendPool>()
  /** The settings by which each pool was shaped last. */
  readonly #shaped = new Map<string, PoolSettings | undefined>()

  constructor(parts: PoolsParts) {
    this.#parts = parts
  }

  /** Makes the pools what the settings name, keeping those that stay. */
  shape(settings: Settings): void {
    const wanted = new Map<string, PoolSettings | undefined>(Object.entries(settings.pools))
    for (const { name } of settings.models) wanted.set(name, undefined)
    const fewest = new Map(settings.models.map(({ name, replicas }) => [name, replicas.min]))
    for (const [name, pool] of this.#pools) {
      if (wanted.has(name)) continue
      this.#pools.delete(name)
      void pool.clients.close()
    }
    for (const [name, pool] of wanted) {
      const tuning = poolTuning(pool, {
        defaults: this.#parts.poolDefaults,
        fewest: pool?.scale?.min ?? fewest.get(name) ?? 1,
        workers: this.#parts.table.workers,
      })
      const existing = this.#pools.get(name)
      if (!existing) this.#pools.set(name, this.#newPool(name, pool, tuning))
      else {
        existing.configure(tuning)
        if (!isDeepStrictEqual(pool, this.#shaped.get(name)))
          existing.clients.configure(this.#clientOptions(pool))
      }
      this.#shaped.set(name, pool)
    }
  }

  /** Throws `noBackend` for a pool that a reload has taken away. */
  get(name: string): BackendPool {
    const pool = this.#pools.get(name)
    if (!pool) throw new GatewayError('noBackend', `there is no pool "${name}" any more`)
    return pool
  }

  find(name: string | undefined): BackendPool | undefined {
    return name === undefined ? undefined : this.#pools.get(name)
  }

  names(): string[] {
    return [...this.#pools.keys()]
  }

  apply(view: PoolView): void {
    this.#pools.get(view.pool)?.apply(view)
  }

  /** Ramps, ejections and waiting calls; about every 100 ms. */
  tick(): void {
    for (const pool of this.#pools.values()) pool.tick()
  }

  /** Hears of places that come free in other workers, until it is closed. */
  start(): void {
    const { table } = this.#parts
    if (table.workers > 1) void hearBell(table, () => this.#onBell(), this.#closing.signal)
  }

  inflight(slot: number): number {
    return inflightOf(this.#parts.table, slot)
  }

  /** What is asked of a pool's backends, for the scaler; undefined: no such pool. */
  load(pool: string): PoolLoad | undefined {
    const loaded = this.#pools.get(pool)
    return loaded && poolLoad(loaded.view, this.#parts.table, loaded.demand)
  }

  /** How the calls of a pool are faring; undefined: no such pool. */
  traffic(pool: string): PoolTraffic | undefined {
    return this.#pools.get(pool)?.status()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all([...this.#pools.values()].map((pool) => pool.clients.close()))
  }

  #newPool(name: string, settings: PoolSettings | undefined, tuning: PoolTuning): BackendPool {
    const { table, outliers, policies, clock, random, wheel } = this.#parts
    const clients = new Clients(this.#clientOptions(settings), wheel)
    return new BackendPool({ name, table, state: outliers, clients, policies, clock, random }, tuning)
  }

  #onBell(): void {
    for (const pool of this.#pools.values()) pool.heard()
  }

  #clientOptions(pool: PoolSettings | undefined): ClientOptions {
    const { ownListeners, bodyTimeoutMs } = this.#parts
    const rules = () =>
      createAddressRules({ allow: pool?.allowAddresses ?? [], ownListeners: ownListeners(), localAddresses })
    return {
      // The balancer's limits bound the calls, and what waits for a place waits in its queue.
      connections: Number.POSITIVE_INFINITY,
      connectTimeoutMs: pool?.connectTimeout ?? 1000,
      bodyTimeoutMs,
      refuse: (address, port) => {
        const refusal = addressRefusal(address, port, rules())
        return refusal && `${address}:${port} may not be a backend: ${refusal}`
      },
    }
  }
}
