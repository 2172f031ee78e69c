/**
 * Warms a pool where another version of a model is deployed under the same addresses: its old answers are unreachable at once, and
 * the calls that are asked most are asked again, so that the first callers do not all miss together.
 */
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { sentenceOf } from './progress.ts'
import type { Warmer, WarmSpec } from './warmer.ts'

/** A route that keeps a sample. */
export interface SampledRoute {
  readonly route: string
  readonly pools: readonly string[]
  /** Calls a second. */
  readonly rate: number
}

export interface VersionWarmingParts {
  readonly warmer: Pick<Warmer, 'warm'>
  /** The routes that keep a sample. */
  readonly routes: () => readonly SampledRoute[]
  /** Another gateway does it: what it stores in the shared tier is there for all. */
  readonly isLedByOther: () => boolean
  readonly clock: Clock
  readonly log: Log
}

/** One deployment is often seen as several changes in a row: of the model, of its labels, of the pool. */
const SETTLE_MS = 100

export class VersionWarming {
  readonly #parts: VersionWarmingParts
  /** By route and pool. */
  readonly #running = new Map<string, AbortController>()
  #isClosed = false

  constructor(parts: VersionWarmingParts) {
    this.#parts = parts
  }

  /** The answers of a pool's model have become unreachable; one that is under way for them begins anew. */
  deployed(pool: string): void {
    if (this.#isClosed || this.#parts.isLedByOther()) return
    for (const { route, pools, rate } of this.#parts.routes())
      if (pools.includes(pool)) void this.#warm({ route, pool, only: true, source: 'sample', rate })
  }

  close(): void {
    this.#isClosed = true
    for (const running of this.#running.values()) running.abort()
  }

  async #warm(spec: WarmSpec): Promise<void> {
    const { warmer, clock, log } = this.#parts
    const { route, pool } = spec
    const name = `${route}\n${pool}`
    this.#running.get(name)?.abort()
    const own = new AbortController()
    this.#running.set(name, own)
    try {
      await new Promise<void>((resolve) => void clock.after(SETTLE_MS, resolve))
      if (own.signal.aborted) return
      let last
      for await (const progress of warmer.warm(spec, own.signal)) last = progress
      if (!last || last.done === 0 || own.signal.aborted) return
      log.info('warm.version', { route, pool, said: sentenceOf(last, pool, false) })
    } catch (error) {
      log.warn('warm.version', { route, pool, error: String(error) })
    } finally {
      if (this.#running.get(name) === own) this.#running.delete(name)
    }
  }
}
