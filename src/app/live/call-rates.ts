/**
 * Turns the counts of the workers into rates: what has happened between two looks, and how long calls took of late. A
 * worker that was started anew counts from zero, so differences are made for each worker by itself.
 */
import type { AttemptRates, CallRates, FaultView, Quantiles, RouteRates } from '../../core/live.ts'
import type { CallTotals } from '../../obs/call-counts.ts'
import { quantileIn } from './quantile.ts'

/** Counts by worker, at one instant. */
export type CountedCalls = ReadonlyMap<number, CallTotals>

/** Looks whose durations are summed up for the quantiles: of a second alone they would jump. */
const LATENCY_LOOKS = 5
const MAX_ROUTES = 100
/** Outcomes for which no backend was asked, and those for which one was. */
const SPARED = new Set(['hit', 'collapsed', 'stale'])
const ASKED = new Set(['miss', 'partial', 'bypass', 'request'])

/** Of one route, or of all. */
interface Tallied {
  readonly cache: Map<string, number>
  refused: number
  errors: number
  readonly buckets: number[]
}

interface Look {
  readonly routes: ReadonlyMap<string, Tallied>
  readonly bounds: readonly number[]
}

export interface Rates {
  readonly calls: CallRates
  readonly routes: readonly RouteRates[]
  readonly attempts: readonly AttemptRates[]
}

export class CallRateMeter {
  #before: CountedCalls = new Map()
  #looks: Look[] = []
  /** Errors by route and code, as counted by workers that have been replaced. */
  readonly #pastFaults = new Map<string, FaultView>()

  /** The rates since the last time, over `seconds`. The first time there are none: the counts are of unknown age. */
  read(now: CountedCalls, seconds: number): Rates {
    const isFirst = this.#before.size === 0
    const look = isFirst ? EMPTY : lookAt(now, this.#before)
    this.#looks = [...this.#looks, look].slice(-LATENCY_LOOKS)
    const attempts = isFirst ? [] : attemptsOf(now, this.#before, seconds)
    this.#keepFaults(now)
    this.#before = now
    const names = [...look.routes].sort((a, b) => callsOf(b[1]) - callsOf(a[1])).slice(0, MAX_ROUTES)
    return {
      calls: this.#rates([...look.routes.values()], undefined, seconds),
      routes: names.map(([route, tallied]) => ({ route, ...this.#rates([tallied], route, seconds) })),
      attempts,
    }
  }

  /** Errors of the gateway's own since the start, with those of workers that were replaced while somebody looked. */
  faults(): readonly FaultView[] {
    const sums = new Map(this.#pastFaults)
    for (const { faults } of this.#before.values()) for (const each of faults) addFault(sums, each)
    return [...sums.values()]
  }

  #keepFaults(now: CountedCalls): void {
    for (const [worker, before] of this.#before) {
      const after = now.get(worker)
      if (after && sizeOf(after) >= sizeOf(before)) continue
      for (const each of before.faults) addFault(this.#pastFaults, each)
    }
  }

  #rates(tallied: readonly Tallied[], route: string | undefined, seconds: number): CallRates {
    const cache = new Map<string, number>()
    for (const each of tallied)
      for (const [outcome, count] of each.cache) cache.set(outcome, (cache.get(outcome) ?? 0) + count)
    const perSecond = (count: number) => rounded(count / seconds)
    const spared = sumOf([...cache].filter(([outcome]) => SPARED.has(outcome)).map(([, count]) => count))
    const asked = sumOf([...cache].filter(([outcome]) => ASKED.has(outcome)).map(([, count]) => count))
    return {
      perSecond: perSecond(sumOf([...cache.values()])),
      cache: Object.fromEntries([...cache].map(([outcome, count]) => [outcome, perSecond(count)])),
      ...(spared + asked > 0 ? { hitRatio: rounded(spared / (spared + asked), 4) } : {}),
      refusedPerSecond: perSecond(sumOf(tallied.map(({ refused }) => refused))),
      errorsPerSecond: perSecond(sumOf(tallied.map(({ errors }) => errors))),
      latencyMs: this.#latency(route),
    }
  }

  #latency(route: string | undefined): Quantiles {
    const { bounds } = this.#looks.at(-1) ?? EMPTY
    const buckets = this.#looks
      .flatMap(({ routes }) => (route === undefined ? [...routes.values()] : (routes.get(route) ?? [])))
      .reduce<number[]>((sums, each) => addTo(sums, each.buckets), [])
    const at = (q: number) => rounded((quantileIn(buckets, bounds, q) ?? 0) * 1000, 3)
    return sumOf(buckets) > 0 ? { p50: at(0.5), p95: at(0.95), p99: at(0.99) } : {}
  }
}

const EMPTY: Look = { routes: new Map(), bounds: [] }

function lookAt(now: CountedCalls, before: CountedCalls): Look {
  const routes = new Map<string, Tallied>()
  let bounds: readonly number[] = []
  for (const [worker, totals] of now) {
    bounds = totals.bounds
    const known = new Map(before.get(worker)?.calls.map((cell) => [nameOf(cell.labels), cell]))
    for (const { labels, statuses, buckets } of totals.calls) {
      const earlier = known.get(nameOf(labels))
      const grown = since(statuses, earlier?.statuses)
      const calls = sumOf(grown)
      if (calls === 0) continue
      const tallied = routes.get(labels.route) ?? { cache: new Map(), refused: 0, errors: 0, buckets: [] }
      routes.set(labels.route, tallied)
      tallied.cache.set(labels.cache, (tallied.cache.get(labels.cache) ?? 0) + calls)
      tallied.refused += grown[4] ?? 0
      tallied.errors += grown[5] ?? 0
      addTo(tallied.buckets, since(buckets, earlier?.buckets))
    }
  }
  return { routes, bounds }
}

function attemptsOf(now: CountedCalls, before: CountedCalls, seconds: number): AttemptRates[] {
  const sums = new Map<string, { pool: string; backend: string; count: number; failed: number }>()
  for (const [worker, { attempts }] of now) {
    const known = new Map(before.get(worker)?.attempts.map((each) => [`${each.pool} ${each.backend}`, each]))
    for (const { pool, backend, count, failed } of attempts) {
      const name = `${pool} ${backend}`
      const [grown = 0, grownFailed = 0] = since(
        [count, failed],
        [known.get(name)?.count ?? 0, known.get(name)?.failed ?? 0],
      )
      if (grown === 0) continue
      const sum = sums.get(name) ?? { pool, backend, count: 0, failed: 0 }
      sums.set(name, { ...sum, count: sum.count + grown, failed: sum.failed + grownFailed })
    }
  }
  return [...sums.values()].map(({ pool, backend, count, failed }) => ({
    pool,
    backend,
    perSecond: rounded(count / seconds),
    failedPerSecond: rounded(failed / seconds),
  }))
}

const nameOf = ({ route, cache }: { readonly route: string; readonly cache: string }) => `${cache} ${route}`
const callsOf = ({ cache }: Tallied) => sumOf([...cache.values()])
const sizeOf = ({ calls }: CallTotals) => sumOf(calls.flatMap(({ statuses }) => statuses))

/** Counts that have become fewer belong to a worker that began anew. */
function since(now: readonly number[], before: readonly number[] | undefined): readonly number[] {
  if (!before || sumOf(now) < sumOf(before)) return now
  return now.map((count, at) => count - (before[at] ?? 0))
}

function addFault(sums: Map<string, FaultView>, { route, fault, count }: FaultView): void {
  const name = `${route} ${fault}`
  sums.set(name, { route, fault, count: (sums.get(name)?.count ?? 0) + count })
}

function addTo(sums: number[], more: readonly number[]): number[] {
  for (const [at, count] of more.entries()) sums[at] = (sums[at] ?? 0) + count
  return sums
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0)
}

function rounded(value: number, digits = 2): number {
  return Math.round(value * 10 ** digits) / 10 ** digits
}
