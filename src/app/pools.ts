/**
 * The pools of the data plane: made, configured and closed as the settings and the control plane say. The scaler and
 * the admin API read their load here.
 */
import { isDeepStrictEqual } from 'node:util'
import type { PoolSettings, Settings } from '../config/schema.ts'
import type { BackendCredentials } from '../control/credentials/backend-credentials.ts'
import { localAddresses } from '../control/registry/addresses.ts'
import { addressRefusal, createAddressRules, type HostPort } from '../core/addresses.ts'
import type { PoolView } from '../core/backend.ts'
import { GatewayError } from '../core/errors.ts'
import type { Observer, WaitEnding } from '../core/observer.ts'
import { type ClientOptions, Clients } from '../data/backend/clients.ts'
import { BackendPool } from '../data/backend/pool.ts'
import type { PoolTraffic } from '../data/backend/traffic.ts'
import type { PoolTuning } from '../data/backend/tuning.ts'
import type { OutlierState } from '../data/balance/outliers/outlier-state.ts'
import { listenForBell } from '../data/balance/policies/neighbours.ts'
import type { PolicyFactory } from '../data/balance/policies/policies.ts'
import { inflightOf, type LoadTable } from '../data/balance/table.ts'
import type { Clock } from '../lib/clock.ts'
import { own } from '../lib/own.ts'
import type { ClientTls } from '../lib/tls/material.ts'
import type { Wheel } from '../lib/wheel.ts'
import { type PoolLoad, poolLoad } from './demand.ts'
import { type PoolDefaults, poolTuning } from './settings-mapping.ts'
import type { LiveTls } from './tls.ts'

export interface PoolsParts {
  readonly poolDefaults: PoolDefaults
  readonly tls: Pick<LiveTls, 'pool'>
  readonly table: LoadTable
  readonly outliers: OutlierState
  /** Balancing policies besides the built-in ones, by name. */
  readonly policies?: Readonly<Record<string, PolicyFactory>> | undefined
  readonly clock: Clock
  readonly wheel: Wheel
  readonly random: () => number
  readonly observer: Pick<Observer, 'waited'>
  /** The gateway's own listeners: a backend at such an address is refused. */
  readonly ownListeners: () => readonly HostPort[]
  /** Longest pause between two parts of an answer, in milliseconds. */
  readonly bodyTimeoutMs: number
}

export class Pools {
  readonly #parts: PoolsParts
  readonly #closing = new AbortController()
  readonly #pools = new Map<string, BackendPool>()
  /** The settings that were applied to each pool last. */
  readonly #shaped = new Map<string, PoolSettings | undefined>()

  /** The certificates that each pool's clients have. */
  readonly #secured = new Map<string, ClientTls | undefined>()

  #credentials: BackendCredentials = {}

  constructor(parts: PoolsParts) {
    this.#parts = parts
  }

  /** Adds, configures and removes pools so that they match the settings; unchanged ones stay. */
  shape(settings: Settings): void {
    const wanted = new Map<string, PoolSettings | undefined>(Object.entries(settings.pools))
    for (const { name } of settings.models) wanted.set(name, undefined)
    const fewest = new Map(settings.models.map(({ name, replicas }) => [name, replicas.min]))
    for (const [name, pool] of this.#pools) {
      if (wanted.has(name)) continue
      this.#pools.delete(name)
      this.#secured.delete(name)
      void pool.clients.close()
    }
    for (const [name, pool] of wanted) {
      const tuning = poolTuning(pool, {
        defaults: this.#parts.poolDefaults,
        fewest: pool?.scale?.min ?? fewest.get(name) ?? 1,
        workers: this.#parts.table.workers,
        tenants: settings.tenants,
      })
      const existing = this.#pools.get(name)
      if (!existing) this.#pools.set(name, this.#newPool(name, pool, tuning))
      else {
        existing.configure(tuning)
        if (!isDeepStrictEqual(pool, this.#shaped.get(name)))
          existing.clients.configure(this.#clientOptions(name, pool))
      }
      this.#shaped.set(name, pool)
    }
  }

  /** Makes the clients of pools whose certificates have changed connect with the new ones. */
  secure(): void {
    for (const [name, tls] of this.#secured)
      if (!isDeepStrictEqual(tls, this.#parts.tls.pool(name)))
        this.#pools.get(name)?.clients.configure(this.#clientOptions(name, this.#shaped.get(name)))
  }

  /** Takes over the credentials towards backends, by pool, for all further requests. */
  authorize(credentials: BackendCredentials): void {
    this.#credentials = credentials
    for (const [name, { clients }] of this.#pools) clients.authorize(own(credentials, name))
  }

  /** Throws `noBackend` for a pool that a reload has removed. */
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

  /** Updates slow start, ejections and queues; to be called about every 100 ms. */
  tick(): void {
    for (const pool of this.#pools.values()) pool.tick()
  }

  /** Waits for permits that other workers release, until the pools are closed. */
  start(): void {
    const { table } = this.#parts
    if (table.workers > 1) void listenForBell(table, () => this.#onBell(), this.#closing.signal)
  }

  inflight(slot: number): number {
    return inflightOf(this.#parts.table, slot)
  }

  /** The load on a pool's backends, for the scaler; undefined: no such pool. */
  load(pool: string): PoolLoad | undefined {
    const loaded = this.#pools.get(pool)
    return loaded && poolLoad(loaded.view, this.#parts.table, loaded.demand)
  }

  /** The state of a pool's traffic; undefined: no such pool. */
  traffic(pool: string): PoolTraffic | undefined {
    return this.#pools.get(pool)?.status()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all([...this.#pools.values()].map((pool) => pool.clients.close()))
  }

  #newPool(name: string, settings: PoolSettings | undefined, tuning: PoolTuning): BackendPool {
    const { table, outliers, policies, clock, random, wheel, observer } = this.#parts
    const clients = new Clients(this.#clientOptions(name, settings), wheel)
    clients.authorize(own(this.#credentials, name))
    const waited = (ending: WaitEnding, ms?: number) => observer.waited(name, ending, ms)
    return new BackendPool({ name, table, state: outliers, clients, policies, clock, random, waited }, tuning)
  }

  #onBell(): void {
    for (const pool of this.#pools.values()) pool.onBell()
  }

  #clientOptions(name: string, pool: PoolSettings | undefined): ClientOptions {
    const { ownListeners, bodyTimeoutMs } = this.#parts
    const tls = this.#parts.tls.pool(name)
    this.#secured.set(name, tls)
    const rules = () =>
      createAddressRules({ allow: pool?.allowAddresses ?? [], ownListeners: ownListeners(), localAddresses })
    return {
      // The client does not limit connections: the balancer limits the calls, and others wait in the admission queue.
      connections: Number.POSITIVE_INFINITY,
      connectTimeoutMs: pool?.connectTimeout ?? 1000,
      bodyTimeoutMs,
      tls,
      refuse: (address, port) => {
        const refusal = addressRefusal(address, port, rules())
        return refusal && `${address}:${port} may not be a backend: ${refusal}`
      },
    }
  }
}
