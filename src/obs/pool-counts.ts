/** What each pool did with the calls that were sent to it, for whoever compares two of them: counted always, for it costs an attempt next to nothing. */
import type { Answered, WaitEnding } from '../core/observer.ts'
import { type SparseTimes, sparse, TIMES_SIZE, timeBucket } from '../lib/fine-times.ts'

/** Since the start, as plain data. */
export interface PoolTotals {
  readonly pool: string
  /** Attempts that came to an end, and calls that were not let wait or waited in vain. */
  readonly calls: number
  /** Those of them that failed or were late, and answers that refuse a call as bad (4xx). */
  readonly bad: number
  /** How long those took that went well. */
  readonly times: SparseTimes
}

interface Counted {
  calls: number
  bad: number
  readonly times: Float64Array
}

/** Ends of a wait that are the pool's fault; of the others, the caller has left or an attempt follows. */
const IN_VAIN: ReadonlySet<WaitEnding> = new Set(['gone', 'full', 'wait', 'late', 'shed'])

/** Errors of calls for which no backend was tried. */
const UNTAKEN: ReadonlySet<string> = new Set(['noBackend', 'unknownModel', 'noTransport'])

export class PoolCounts {
  readonly #pools = new Map<string, Counted>()

  attempted(pool: string, ending: string, ms: number): void {
    if (ending === 'cancelled') return
    const counted = this.#of(pool)
    counted.calls++
    if (ending === 'ok') {
      const bucket = timeBucket(ms)
      counted.times[bucket] = (counted.times[bucket] ?? 0) + 1
    } else counted.bad++
  }

  waited(pool: string, ending: WaitEnding): void {
    if (!IN_VAIN.has(ending)) return
    this.#fail(pool)
  }

  /** A call that a pool could not take goes to another one. Its attempts and waits were counted as such. */
  fellBack(pool: string, reason: string): void {
    if (reason === 'no-backend') this.#fail(pool)
  }

  /** To be told of answers with a status of 400 and more. Failures were counted with their attempts, what was kept with the first call. */
  refused({ pool, status, outcome, fault }: Answered): void {
    if (pool === undefined) return
    if (fault !== undefined && UNTAKEN.has(fault)) return this.#fail(pool)
    const isKept = outcome.kind === 'hit' || outcome.kind === 'stale' || outcome.kind === 'none'
    const isJoined = outcome.kind === 'miss' && outcome.collapsed
    if (status < 500 && fault === undefined && !isKept && !isJoined) this.#of(pool).bad++
  }

  totals(): PoolTotals[] {
    return [...this.#pools].map(([pool, { calls, bad, times }]) => ({
      pool,
      calls,
      bad,
      times: sparse(times),
    }))
  }

  #fail(pool: string): void {
    const counted = this.#of(pool)
    counted.calls++
    counted.bad++
  }

  #of(pool: string): Counted {
    const known = this.#pools.get(pool)
    if (known) return known
    const counted = { calls: 0, bad: 0, times: new Float64Array(TIMES_SIZE) }
    this.#pools.set(pool, counted)
    return counted
  }
}
