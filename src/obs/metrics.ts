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
import { AttemptCounts, CallCounts, type Times, time, times } from './call-counts.ts'
import type { Exposition, MetricSource, MetricsSnapshot, Sample, Value } from './exposition.ts'
import { GenerationCounts } from './generation-counts.ts'
import { Tally } from './tally.ts'

export type { MetricsSnapshot, Sample } from './exposition.ts'

export interface Metrics extends Observer {
  /** A value or fact of a sealed tier counts as absent, because nobody with the secret has written it. */
  unverified(tier: string): void
  /** The metrics of this thread, merged with those of `others`, as text. */
  expose(
    others?: readonly MetricsSnapshot[],
  ): Promise<{ readonly contentType: string; readonly body: string }>
  /** What this thread has counted, for another one that exposes it. */
  snapshot(): Promise<MetricsSnapshot>
  /** Registers a gauge that is read at each scrape. */
  gauge(name: string, help: string, collect: () => readonly Sample[]): void
  /** Registers a counter that is read at each scrape. */
  counter(name: string, help: string, collect: () => readonly Sample[]): void
  count(name: CounterName, labels: Readonly<Record<string, string>>, by?: number): void
  /** Loads the exposition and begins to measure the process. Otherwise the first scrape does that. */
  prepare(): Promise<void>
}

/** Most model names that become values of a label, in each thread: clients may invent names. */
const MAX_MODELS = 256

const TIER_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1]

const COUNTERS = {
  infergate_retries_total: 'Attempts that followed another one of the same call.',
  infergate_backend_ejections_total: 'Ejections of backends from balancing, by cause.',
  infergate_hedges_total: 'Second tries sent for a late first one, by which was faster.',
  infergate_cache_operations_total: 'Operations on cache tiers, by outcome.',
  infergate_cache_unverified_total:
    'Values and facts of sealed tiers that nobody with the secret has written.',
  infergate_cache_rows_total: 'Rows of calls that were answered row by row.',
  infergate_cache_row_splitting_total:
    'Changes of whether a model is answered row by row: proved, refused, suspended.',
  infergate_prediction_log_records_total:
    'Predictions for the log: written, or not, and why (queue, size, incomplete, unmapped, spool, failed).',
  infergate_prediction_log_files_total:
    'Files of prediction logs: published, or tried again because the far side did not take one.',
  infergate_config_reloads_total: 'Reloads of the settings.',
  infergate_tls_handshakes_total:
    'TLS handshakes of clients, by how they ended: ok, http (plain HTTP was sent), late, full (too many at a time), untrusted (the certificate of the client), failed.',
  infergate_foreign_connections_total:
    'Connections that were closed without an answer, since they begin in another protocol than HTTP.',
  infergate_worker_exits_total:
    'Ends of data workers that nobody asked for: crashed, or ended because they hung.',
  infergate_model_store_operations_total:
    'Looks at the stores of embedded models and fetches from them, by outcome.',
  infergate_model_process_exits_total: 'Ends of embedded model processes that nobody asked for.',
} as const
type CounterName = keyof typeof COUNTERS

/** `worker`: the number of the data worker in this thread. */
export function createMetrics(worker = 0): Metrics {
  const calls = new CallCounts()
  const attempts = new AttemptCounts()
  const lookups = new Map<string, Times<{ readonly tier: string }>>()
  const tallies = new Map<string, Tally>()
  const models = new BoundedNames(MAX_MODELS)
  const generations = new GenerationCounts()
  const sources: MetricSource[] = [
    ...ofCalls(calls, worker),
    ...ofAttempts(attempts),
    ofLookups(lookups),
    ...ofGenerations(generations),
  ]
  for (const [name, help] of Object.entries(COUNTERS)) {
    const tally = new Tally()
    tallies.set(name, tally)
    sources.push({ name, help, type: 'counter', values: () => tally.samples() })
  }
  let exposition: Promise<Exposition> | undefined
  const exposed = () => {
    exposition ??= import('./exposition.ts').then(({ Exposition }) => new Exposition(sources))
    return exposition
  }
  const count = (name: CounterName, labels: Readonly<Record<string, string>>, by = 1): void =>
    tallies.get(name)?.add(labels, by)

  return {
    answered(call) {
      calls.add(call, outcomeLabel(call.outcome))
      if (call.saved) generations.save(models.of(call.model ?? ''), call.saved)
    },
    attempted(pool, backend, ending, ms) {
      attempts.add(pool, backend, { ending, seconds: ms / 1000 })
    },
    // Counted with its attempt.
    failed() {},
    retried: (pool, reason) => count('infergate_retries_total', { pool, reason }),
    hedged: (pool, outcome) => count('infergate_hedges_total', { pool, outcome }),
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
    gauge: (name, help, collect) => void sources.push({ name, help, type: 'gauge', values: collect }),
    counter: (name, help, collect) => void sources.push({ name, help, type: 'counter', values: collect }),
    expose: async (others = []) => (await exposed()).text(others),
    snapshot: async () => (await exposed()).snapshot(),
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
    {
      name: 'infergate_worker_calls_total',
      help: 'Calls answered, by the data worker that did.',
      type: 'counter',
      values: () => [{ labels: { worker: String(worker) }, value: sum() }],
    },
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
    {
      name: 'infergate_faults_total',
      help: 'Calls the gateway answered with an error of its own.',
      type: 'counter',
      values: () => calls.faults(),
    },
    {
      name: 'infergate_requests_total',
      help: 'Requests, by the reader that took them from the connection.',
      type: 'counter',
      values: () => calls.doors().map(([door, value]) => ({ labels: { door }, value })),
    },
    ofTimes('infergate_call_seconds', 'Time from the head of a request to the end of its answer.', () =>
      calls.cells(),
    ),
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
  const help = 'Attempts at backends, by how they ended.'
  return [
    { name: 'infergate_backend_attempts_total', help, type: 'counter', values: samples },
    ofTimes('infergate_backend_seconds', 'Time an attempt at a backend took, to the end of its answer.', () =>
      attempts.cells(),
    ),
  ]
}

function ofGenerations({ used, saved, first, next }: GenerationCounts): readonly MetricSource[] {
  const ofTokens = (name: string, help: string, tally: Tally): MetricSource => ({
    name,
    help,
    type: 'counter',
    values: () => tally.samples(),
  })
  return [
    ofTokens('infergate_gen_ai_tokens_total', 'Tokens that backends say they took.', used),
    ofTokens(
      'infergate_saved_tokens_total',
      'Tokens that calls would have taken of a backend, and did not.',
      saved,
    ),
    ofTimes(
      'infergate_gen_ai_time_to_first_token_seconds',
      'Time from the request to the first token.',
      () => [...first.values()],
    ),
    ofTimes(
      'infergate_gen_ai_time_per_output_token_seconds',
      'Mean time between two tokens of one answer.',
      () => [...next.values()],
    ),
  ]
}

function ofLookups(lookups: ReadonlyMap<string, Times<{ readonly tier: string }>>): MetricSource {
  return ofTimes('infergate_cache_lookup_seconds', 'Time of look-ups in shared tiers.', () => [
    ...lookups.values(),
  ])
}

function ofTimes(
  name: string,
  help: string,
  cells: () => readonly Times<Readonly<Record<string, string>>>[],
): MetricSource {
  return { name, help, type: 'histogram', values: () => cells().flatMap((cell) => secondsOf(name, cell)) }
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
