/**
 * The gateway's metrics. Most labels come from closed sets: names in the settings (routes, pools, tiers) and the
 * gateway's own words. Three come from outside. `model` is what a client calls, and `backend` is an id that a backend
 * registers under: each is bounded, and further values are counted as `other`. `reason` of a retry may be a backend's
 * status, of three digits, or the code of a custom dialect's verdict, which has few by contract. Counting needs no
 * library; exposition.ts writes the text that scrapes read.
 */
import type { Observer } from '../core/observer.ts'
import { outcomeLabel } from '../core/reply.ts'
import { BoundedNames } from './bounded.ts'
import {
  AttemptCounts,
  CallCounts,
  type CallTotals,
  type Times,
  time,
  times,
  totalsOfCalls,
} from './call-counts.ts'
import type { Exemplars } from './exemplars.ts'
import type { Exposition, MetricSource, MetricsSnapshot, Sample, Value } from './exposition.ts'
import { FAMILIES, type FamilyName, type LabelsOf } from './families.ts'
import { GenerationCounts } from './generation-counts.ts'
import { OPEN_METRICS_TYPE, openMetricsOf } from './open-metrics.ts'
import { PoolCounts } from './pool-counts.ts'
import { Tally } from './tally.ts'

export type { MetricsSnapshot, Sample } from './exposition.ts'

export interface Metrics extends Observer {
  /** A value or fact of a sealed tier counts as absent, because nobody with the secret has written it. */
  unverified(tier: string): void
  /** The metrics of this thread, merged with those of `others`, as text. */
  expose(
    others?: readonly MetricsSnapshot[],
    exemplars?: Exemplars,
  ): Promise<{ readonly contentType: string; readonly body: string }>
  /** What this thread has counted, for another one that exposes it. */
  snapshot(): Promise<MetricsSnapshot>
  /** The calls and attempts of this thread, for the dashboard. */
  callTotals(): CallTotals
  /** Registers a gauge that is read at each scrape. */
  gauge(name: FamilyName<'gauge'>, collect: () => readonly Sample[]): void
  /** Registers a counter that is read at each scrape. */
  counter(name: FamilyName<'counter'>, collect: () => readonly Sample[]): void
  /** Registers a histogram that is read at each scrape. */
  histogram(
    name: FamilyName<'histogram'>,
    collect: () => readonly Times<Readonly<Record<string, string>>>[],
  ): void
  count<N extends CountedName>(name: N, labels: LabelsOf<N>, by?: number): void
  /** Loads the exposition and begins to measure the process. Otherwise the first scrape does that. */
  prepare(): Promise<void>
}

/** Most model names that become values of a label, in each thread: clients may invent names. */
const MAX_MODELS = 256

const WAIT_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const TIER_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1]

/** The counters that `count` counts. */
const COUNTED = [
  'infergate_retries_total',
  'infergate_fallbacks_total',
  'infergate_backend_ejections_total',
  'infergate_hedges_total',
  'infergate_pool_changes_total',
  'infergate_pool_queue_endings_total',
  'infergate_cache_operations_total',
  'infergate_cache_unverified_total',
  'infergate_cache_rows_total',
  'infergate_cache_row_splitting_total',
  'infergate_prediction_log_records_total',
  'infergate_warm_calls_total',
  'infergate_prediction_log_files_total',
  'infergate_config_reloads_total',
  'infergate_tls_handshakes_total',
  'infergate_foreign_connections_total',
  'infergate_access_log_lines_lost_total',
  'infergate_traced_calls_total',
  'infergate_worker_exits_total',
  'infergate_model_store_operations_total',
  'infergate_model_process_exits_total',
  'infergate_rollouts_total',
] as const satisfies readonly FamilyName<'counter'>[]
type CountedName = (typeof COUNTED)[number]

/** `worker`: the number of the data worker in this thread. */
export function createMetrics(worker = 0): Metrics {
  const calls = new CallCounts()
  const attempts = new AttemptCounts()
  const pools = new PoolCounts()
  const lookups = new Map<string, Times<{ readonly tier: string }>>()
  const waits = new Map<string, Times<{ readonly pool: string }>>()
  const tallies = new Map<string, Tally>()
  const models = new BoundedNames(MAX_MODELS)
  const generations = new GenerationCounts()
  const sources: MetricSource[] = [
    ...ofCalls(calls, worker),
    ...ofAttempts(attempts),
    ofTimes('infergate_cache_lookup_seconds', () => [...lookups.values()]),
    ofTimes('infergate_pool_queue_wait_seconds', () => [...waits.values()]),
    ...ofGenerations(generations),
  ]
  for (const name of COUNTED) {
    const tally = new Tally()
    tallies.set(name, tally)
    sources.push(source(name, () => tally.samples()))
  }
  let exposition: Promise<Exposition> | undefined
  const exposed = () => {
    exposition ??= import('./exposition.ts').then(({ Exposition }) => new Exposition(sources))
    return exposition
  }
  const count: Metrics['count'] = (name, labels, by = 1) => tallies.get(name)?.add(labels, by)
  // A counter that appears with its first event has no increase then: alerts would miss it.
  for (const cause of ['crash', 'hang']) count('infergate_worker_exits_total', { cause }, 0)
  for (const outcome of ['applied', 'refused']) count('infergate_config_reloads_total', { outcome }, 0)
  for (const at of ['queue', 'output']) count('infergate_access_log_lines_lost_total', { at }, 0)

  return {
    answered(call) {
      calls.add(call, outcomeLabel(call.outcome))
      if (call.status >= 400) pools.refused(call)
      if (call.saved) generations.save(models.of(call.model ?? ''), call.saved)
    },
    attempted(pool, backend, ending, ms) {
      attempts.add(pool, backend, { ending, seconds: ms / 1000 })
      pools.attempted(pool, ending, ms)
    },
    // Counted with its attempt.
    failed() {},
    retried: (pool, reason) => count('infergate_retries_total', { pool, reason }),
    fellBack(route, pool, reason) {
      count('infergate_fallbacks_total', { route, pool, reason })
      pools.fellBack(pool, reason)
    },
    hedged: (pool, outcome) => count('infergate_hedges_total', { pool, outcome }),
    waited(pool, ending, ms) {
      count('infergate_pool_queue_endings_total', { pool, ending })
      pools.waited(pool, ending)
      if (ms === undefined) return
      const known = waits.get(pool) ?? times({ pool }, WAIT_BUCKETS)
      waits.set(pool, known)
      time(known, ms / 1000)
    },
    tier(tier, operation, outcome, ms) {
      count('infergate_cache_operations_total', { tier, operation, outcome })
      if (operation !== 'get') return
      const known = lookups.get(tier) ?? times({ tier }, TIER_BUCKETS)
      lookups.set(tier, known)
      time(known, ms / 1000)
    },
    unverified: (tier) => count('infergate_cache_unverified_total', { tier }),
    splitting: (model, state) =>
      count('infergate_cache_row_splitting_total', { model: models.of(model), state }),
    generated: (model, generated) => generations.generated(models.of(model), generated),
    // Counted by tenant, over all threads.
    charged() {},
    rows(name, counts) {
      const model = models.of(name)
      for (const [result, rows] of Object.entries(counts))
        if (rows > 0) count('infergate_cache_rows_total', { model, result }, rows)
    },
    count,
    gauge: (name, collect) => void sources.push(source(name, collect)),
    counter: (name, collect) => void sources.push(source(name, collect)),
    histogram: (name, collect) => void sources.push(ofTimes(name, collect)),
    async expose(others = [], exemplars) {
      const classic = await (await exposed()).text(others)
      return exemplars
        ? { contentType: OPEN_METRICS_TYPE, body: openMetricsOf(classic.body, exemplars) }
        : classic
    },
    snapshot: async () => (await exposed()).snapshot(),
    callTotals: () => ({ ...totalsOfCalls(calls, attempts), pools: pools.totals() }),
    async prepare() {
      await exposed()
    },
  }
}

/**
 * Merges the counters and histograms of threads that have ended. Their gauges are dropped: they measured the thread
 * itself.
 */
export async function totalsOf(ended: readonly MetricsSnapshot[]): Promise<MetricsSnapshot> {
  const { sumOf } = await import('./exposition.ts')
  const all = await sumOf(ended)
  return all.filter(({ type }) => type === 'counter' || type === 'histogram')
}

function ofCalls(calls: CallCounts, worker: number): readonly MetricSource[] {
  const sum = () => calls.cells().reduce((all, { statuses }) => all + statuses.reduce((a, b) => a + b, 0), 0)
  return [
    source('infergate_worker_calls_total', () => [{ labels: { worker: String(worker) }, value: sum() }]),
    {
      name: 'infergate_calls_total',
      help: 'Calls answered, by what the cache did and by status class.',
      type: 'counter',
      values: () =>
        calls
          .cells()
          .flatMap(({ labels, statuses }) =>
            [...statuses].map((value, of) => ({ labels: { ...labels, status: `${of}xx` }, value })),
          )
          .filter(({ value }) => value > 0),
    },
    source('infergate_faults_total', () => calls.faults()),
    source('infergate_requests_total', () =>
      calls.doors().map(([door, value]) => ({ labels: { door }, value })),
    ),
    ofTimes('infergate_call_seconds', () => calls.cells()),
  ]
}

function ofAttempts(attempts: AttemptCounts): readonly MetricSource[] {
  const samples = (): Sample[] =>
    attempts
      .cells()
      .flatMap(({ labels, endings }) =>
        [...endings].flatMap(([backend, counts]) =>
          [...counts].map(([ending, [value = 0]]) => ({ labels: { ...labels, backend, ending }, value })),
        ),
      )
  return [
    source('infergate_backend_attempts_total', samples),
    ofTimes('infergate_backend_seconds', () => attempts.cells()),
  ]
}

function ofGenerations({ used, saved, first, next }: GenerationCounts): readonly MetricSource[] {
  return [
    source('infergate_gen_ai_tokens_total', () => used.samples()),
    source('infergate_saved_tokens_total', () => saved.samples()),
    ofTimes('infergate_gen_ai_time_to_first_token_seconds', () => [...first.values()]),
    ofTimes('infergate_gen_ai_time_per_output_token_seconds', () => [...next.values()]),
  ]
}

function ofTimes(
  name: FamilyName<'histogram'>,
  cells: () => readonly Times<Readonly<Record<string, string>>>[],
): MetricSource {
  return source(name, () => cells().flatMap((cell) => secondsOf(name, cell)))
}

function source(name: FamilyName, values: () => readonly Value[]): MetricSource {
  const [type, , help] = FAMILIES[name]
  return { name, type, help, values }
}

function secondsOf(
  name: string,
  { labels, bounds, buckets, seconds: [sum = 0] }: Times<Readonly<Record<string, string>>>,
): readonly Value[] {
  let count = 0
  const values = [...bounds, '+Inf'].map((le, i) => {
    count += buckets[i] ?? 0
    return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count }
  })
  return [
    ...values,
    { metricName: `${name}_sum`, labels: { ...labels }, value: sum },
    { metricName: `${name}_count`, labels: { ...labels }, value: count },
  ]
}
