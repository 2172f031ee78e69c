/** What is counted of the calls of a stretch of time, and how the counts of several stretches and threads add up. */
import { type LatencyCounts, LatencyHistogram } from '../lib/latency-histogram.ts'
import type { CacheUse } from './cache-use.ts'

/** Why a call had no answer: a word of ours, such as `timeout` or `reset`. */
export type CallFault =
  | 'timeout'
  | 'refused'
  | 'reset'
  | 'garbled'
  | 'tls'
  | 'stream-error'
  | 'client-limit'
  | 'other'

/** How one call ended. */
export interface CallEnd {
  /** From when it was due, or sent, to its last byte. */
  readonly us: number
  /** `200`, `grpc OK`; undefined: there was no answer. */
  readonly status: string | undefined
  readonly fault: CallFault | undefined
  readonly isError: boolean
  readonly rows: number
  /** Of the body of the answer. */
  readonly bytes: number
  readonly cache: CacheUse | undefined
  /** Of answers that models write. */
  readonly written: WrittenTimes | undefined
}

/** The times of an answer that a model writes, microseconds. */
export interface WrittenTimes {
  /** Undefined where the answer came in one piece. */
  readonly firstUs: number | undefined
  readonly betweenUs: readonly number[]
  /** Output tokens: what the usage says, otherwise the events with text. */
  readonly tokens: number
}

/** What passes between threads. */
export interface TallyCounts {
  readonly numbers: Readonly<Record<CountName, number>>
  readonly statuses: Readonly<Record<string, number>>
  readonly faults: Readonly<Record<string, number>>
  readonly cache: Readonly<Record<string, number>>
  readonly latency: LatencyCounts
  readonly firstToken: LatencyCounts
  readonly betweenTokens: LatencyCounts
  /** By how much calls were sent late though a connection was free. */
  readonly lateness: LatencyCounts
}

const COUNTS = [
  /** Calls that were sent. */
  'sent',
  /** Calls that ended, with an answer or without. */
  'calls',
  /** Of those: an error status, or no answer. */
  'errors',
  /** That were answered. */
  'rows',
  /** Rows that no backend was asked for. */
  'savedRows',
  'bytes',
  'tokens',
  /** Calls that waited for a connection, all of which were in use. */
  'waited',
  /** Calls that were sent late although a connection was free. */
  'late',
  /** Calls that had not ended when the test was over. */
  'unfinished',
  /** Calls that were due and never sent: no connection was free, or the generator was too slow. */
  'unsentBlocked',
  'unsentLate',
] as const

type CountName = (typeof COUNTS)[number]

export class LoadTally {
  readonly numbers: Record<CountName, number>
  readonly statuses: Record<string, number> = {}
  readonly faults: Record<string, number> = {}
  readonly cache: Record<string, number> = {}
  readonly latency = new LatencyHistogram()
  readonly firstToken = new LatencyHistogram()
  readonly betweenTokens = new LatencyHistogram()
  readonly lateness = new LatencyHistogram()

  constructor() {
    this.numbers = Object.fromEntries(COUNTS.map((name) => [name, 0])) as Record<CountName, number>
  }

  /** Nothing was counted. */
  get isEmpty(): boolean {
    return COUNTS.every((name) => this.numbers[name] === 0)
  }

  ended(end: CallEnd): void {
    const { numbers } = this
    const { status, fault, cache, written } = end
    numbers.calls++
    numbers.bytes += end.bytes
    if (end.isError) numbers.errors++
    else numbers.rows += end.rows
    if (status !== undefined) add(this.statuses, status)
    if (fault !== undefined) add(this.faults, fault)
    // A call that was given up waited at least so long: without it the worst would be missing from the quantiles.
    if (fault === undefined || fault === 'timeout') this.latency.add(end.us)
    if (cache) this.cached(cache)
    if (written) this.#written(written)
  }

  cached({ kind, savedRows }: CacheUse): void {
    add(this.cache, kind)
    this.numbers.savedRows += savedRows
  }

  counts(): TallyCounts {
    return {
      numbers: this.numbers,
      statuses: this.statuses,
      faults: this.faults,
      cache: this.cache,
      latency: this.latency.counts(),
      firstToken: this.firstToken.counts(),
      betweenTokens: this.betweenTokens.counts(),
      lateness: this.lateness.counts(),
    }
  }

  merge(other: TallyCounts): void {
    for (const name of COUNTS) this.numbers[name] += other.numbers[name]
    for (const name of ['statuses', 'faults', 'cache'] as const)
      for (const [key, count] of Object.entries(other[name])) add(this[name], key, count)
    for (const name of ['latency', 'firstToken', 'betweenTokens', 'lateness'] as const)
      this[name].merge(other[name])
  }

  #written({ firstUs, betweenUs, tokens }: WrittenTimes): void {
    this.numbers.tokens += tokens
    if (firstUs !== undefined) this.firstToken.add(firstUs)
    for (const us of betweenUs) this.betweenTokens.add(us)
  }
}

function add(counts: Record<string, number>, key: string, count = 1): void {
  counts[key] = (counts[key] ?? 0) + count
}
