/** The numbers of a load test as people and programs read them. */
import type { LatencyHistogram } from '../lib/latency-histogram.ts'
import type { Seen } from './load-test.ts'

/** Microseconds. */
export type Percentiles = Readonly<Record<PercentileName, number>>

export const PERCENTILES = {
  p50: 0.5,
  p90: 0.9,
  p95: 0.95,
  p99: 0.99,
  'p99.9': 0.999,
  'p99.99': 0.9999,
  max: 1,
} as const

export type PercentileName = keyof typeof PERCENTILES

export interface LoadSummary {
  readonly seconds: number
  readonly calls: number
  readonly callsPerSecond: number
  readonly rowsPerSecond: number
  readonly bytesPerSecond: number
  /** Of all calls. */
  readonly errorShare: number
  readonly statuses: Readonly<Record<string, number>>
  readonly faults: Readonly<Record<string, number>>
  /** Of calls that a cache said something of. */
  readonly cache: Readonly<Record<string, number>>
  /** Hits and calls that joined another's, of those that a cache said something of; undefined: none did. */
  readonly hitShare: number | undefined
  /** Of all rows, those that no backend was asked for; undefined as before. */
  readonly savedRowShare: number | undefined
  readonly latencyUs: Percentiles & { readonly mean: number }
  /** Of answers that models write; undefined: there were none. */
  readonly written: WrittenSummary | undefined
  readonly generator: GeneratorSummary
}

export interface WrittenSummary {
  readonly tokens: number
  readonly tokensPerSecond: number
  /** Of streams; all 0 where there were none. */
  readonly firstTokenUs: Percentiles
  readonly betweenTokensUs: Percentiles
}

/** Whether the load was the one that was asked for. */
export interface GeneratorSummary {
  readonly sent: number
  /** Calls that waited for a connection: the server was the limit. */
  readonly waited: number
  /** Calls that were sent late though a connection was free: the generator was. */
  readonly late: number
  readonly unsentBlocked: number
  readonly unsentLate: number
  readonly unfinished: number
  readonly busy: number
  readonly latenessUs: Percentiles
}

export function summarise({ total, ms, busy }: Seen): LoadSummary {
  const { numbers, statuses, faults, cache, latency } = total
  const seconds = ms / 1000
  const rate = (count: number) => (seconds === 0 ? 0 : count / seconds)
  const said = Object.values(cache).reduce((sum, count) => sum + count, 0)
  return {
    seconds,
    calls: numbers.calls,
    callsPerSecond: rate(numbers.calls),
    rowsPerSecond: rate(numbers.rows),
    bytesPerSecond: rate(numbers.bytes),
    errorShare: numbers.calls === 0 ? 0 : numbers.errors / numbers.calls,
    statuses,
    faults,
    cache,
    hitShare: said === 0 ? undefined : ((cache['hit'] ?? 0) + (cache['collapsed'] ?? 0)) / said,
    savedRowShare: said === 0 || numbers.rows === 0 ? undefined : numbers.savedRows / numbers.rows,
    latencyUs: { ...percentiles(latency), mean: latency.meanUs },
    written: writtenOf(total, rate),
    generator: {
      sent: numbers.sent,
      waited: numbers.waited,
      late: numbers.late,
      unsentBlocked: numbers.unsentBlocked,
      unsentLate: numbers.unsentLate,
      unfinished: numbers.unfinished,
      busy,
      latenessUs: percentiles(total.lateness),
    },
  }
}

function writtenOf(
  { numbers, firstToken, betweenTokens }: Seen['total'],
  rate: (count: number) => number,
): WrittenSummary | undefined {
  if (numbers.tokens === 0) return undefined
  return {
    tokens: numbers.tokens,
    tokensPerSecond: rate(numbers.tokens),
    firstTokenUs: percentiles(firstToken),
    betweenTokensUs: percentiles(betweenTokens),
  }
}

export function percentiles(histogram: LatencyHistogram): Percentiles {
  const entries = Object.entries(PERCENTILES).map(([name, q]) => [name, histogram.quantile(q)])
  return Object.fromEntries(entries) as Percentiles
}

/** Above it, the load is not the one that was asked for. */
const MUCH = 0.01
/** A generator that had work for so much of the time could not have done more. */
const BUSY = 0.95

/**
 * True: so many calls were never sent because the generator was too slow that the test says little. One that had work all the time was
 * late in reading answers, too, so it is the generator that kept the connections in use.
 */
export function fellShort({ sent, unsentLate, unsentBlocked, busy }: GeneratorSummary): boolean {
  const unsent = unsentLate + (busy > BUSY ? unsentBlocked : 0)
  return unsent > MUCH * (sent + unsentLate + unsentBlocked)
}

/** What a reader of the numbers must know of how they were made: sentences. */
export function caveats({ generator }: LoadSummary, isOpen: boolean): string[] {
  const { sent, late, waited, unsentBlocked, unsentLate, busy } = generator
  const due = sent + unsentBlocked + unsentLate
  const part = (count: number) => `${count} of ${due} calls`
  const more = 'give it more --threads, or another machine'
  const isShort = fellShort(generator)
  const sentences: readonly (string | false)[] = [
    isShort && `the generator was the limit: ${part(unsentBlocked + unsentLate)} were never sent; ${more}`,
    late > MUCH * due &&
      `the generator was late with ${part(late)}, and their latencies include that; ${more}`,
    isOpen &&
      !isShort &&
      waited + unsentBlocked > MUCH * due &&
      `all connections were in use when ${part(waited + unsentBlocked)} were due: the server did not keep up, or --connections is too low`,
    !isOpen &&
      busy > BUSY &&
      `the generator had work for ${Math.round(100 * busy)} % of the time, so the server may be able to do more; ${more}`,
  ]
  return sentences.filter((sentence) => sentence !== false)
}
