/** The data plane in the thread of the control plane: one worker, and nothing passes between threads. */
import type { Settings } from '../config/schema.ts'
import type { Endpoint } from '../core/addresses.ts'
import type { PoolView } from '../core/backend.ts'
import type { Observer } from '../core/observer.ts'
import type { PoolTraffic } from '../data/backend/traffic.ts'
import { createOutlierState } from '../data/balance/outlier-state.ts'
import { createLoadTable, inflightOf, MAX_SLOTS } from '../data/balance/table.ts'
import type { Asked, Explanation } from '../data/explain.ts'
import type { Clock } from '../lib/clock.ts'
import type { ProcessLog } from '../obs/log.ts'
import type { Metrics } from '../obs/metrics.ts'
import { type Cache, openCache, ownMemory } from './cache.ts'
import type { DataSide, DataStats } from './data-side.ts'
import { DataWorker } from './data-worker.ts'
import type { PoolLoad } from './demand.ts'
import { observing } from './observing.ts'
import { SharedFacts } from './shared-facts.ts'

export interface DataSideParts {
  readonly settings: Settings
  readonly log: ProcessLog
  readonly metrics: Metrics
  readonly clock: Clock
  readonly random: () => number
  /** The gateway's own listeners, which no backend may be. */
  readonly own: () => readonly Endpoint[]
  /** Called for a model whose deployment nobody has told of, when it is first called. */
  readonly unknownModel: (pool: string, model: string) => void
  /** A backend has answered well. */
  readonly alive: (pool: string, backend: string) => void
}

export async function openSolo(parts: DataSideParts): Promise<DataSide> {
  const { settings, clock, log, metrics } = parts
  const memory = ownMemory(settings, clock)
  return new Solo(parts, await openCache(settings, { clock, log, observer: metrics, memory }))
}

class Solo implements DataSide {
  readonly facts: SharedFacts
  readonly #settings: Settings
  readonly #cache: Cache
  readonly #worker: DataWorker
  readonly #table = createLoadTable()

  constructor(parts: DataSideParts, cache: Cache) {
    this.#settings = parts.settings
    this.#cache = cache
    this.facts = new SharedFacts({
      ...parts,
      cache,
      changed: () => this.#worker.plane.changed(),
      forget: (digest) => this.#worker.plane.forget(digest),
    })
    const observer: Observer = observing(parts)
    this.#worker = new DataWorker({
      ...parts,
      cache,
      facts: this.facts,
      table: this.#table,
      outliers: createOutlierState(MAX_SLOTS),
      claims: undefined,
      observer,
    })
  }

  start(): void {
    this.facts.start()
    this.#worker.start()
  }

  listen(): Promise<Endpoint> {
    return this.#worker.listen(this.#settings.server.listen)
  }

  apply(view: PoolView): void {
    this.#worker.plane.pools.apply(view)
  }

  reload(settings: Settings): void {
    this.#worker.reload(settings)
  }

  inflight(slot: number): number {
    return inflightOf(this.#table, slot)
  }

  peers(slot: number, calls: number): void {
    this.#table.peers[slot] = calls
  }

  load(pool: string): PoolLoad | undefined {
    return this.#worker.plane.pools.load(pool)
  }

  traffic(pool: string): PoolTraffic | undefined {
    return this.#worker.plane.pools.traffic(pool)
  }

  explain(asked: Asked): Promise<Explanation> {
    return this.#worker.plane.explain(asked)
  }

  async stats(): Promise<DataStats> {
    return this.#worker.plane.stats()
  }

  async metrics(): Promise<readonly []> {
    return []
  }

  isTierDown(): boolean {
    return this.#cache.stats().tiers.some(({ state }) => state === 'open')
  }

  async heard(): Promise<void> {
    // What is told in this thread is heard at once.
  }

  get listening(): number {
    return this.#worker.isListening ? 1 : 0
  }

  drain(timeoutMs: number): Promise<void> {
    return this.#worker.drain(timeoutMs)
  }

  async close(): Promise<void> {
    this.facts.stop()
    await this.#worker.close()
  }
}
