/**
 * What the gateway counts, in Prometheus' form. Labels come from closed sets (routes, pools, backend ids,
 * tiers); nothing a client sends becomes a label.
 */
import {
  AggregatorRegistry,
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type Metric,
  Registry,
} from 'prom-client'
import type { Observer } from '../core/observer.ts'
import type { Outcome } from '../core/reply.ts'
import { AttemptCounts, CALL_BUCKETS, CallCounts, type Times } from './call-counts.ts'

export interface Metrics extends Observer {
  /** All that was counted here, and in other threads as far as `others` tell. */
  expose(
    others?: readonly MetricsSnapshot[],
  ): Promise<{ readonly contentType: string; readonly body: string }>
  /** What this thread has counted, for another one that exposes it. */
  snapshot(): Promise<MetricsSnapshot>
  /** A value asked for at each scrape. */
  gauge(name: string, help: string, labels: readonly string[], collect: () => readonly Sample[]): void
  count(name: CounterName, labels: Readonly<Record<string, string>>, by?: number): void
}

/** Metrics with their values as plain data, in prom-client's form. */
export type MetricsSnapshot = readonly PlainMetric[]

interface PlainMetric {
  readonly name: string
  readonly help: string
  readonly type: string
  /** How the values of several threads become one. */
  readonly aggregator: string
  readonly values: readonly Sample[]
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const TIER_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1]

const COUNTERS = {
  infergate_config_reloads_total: { help: 'Reloads of the settings.', labels: ['outcome'] },
  infergate_worker_exits_total: {
    help: 'Ends of data workers that nobody asked for: crashed, or ended because they hung.',
    labels: ['cause'],
  },
  infergate_model_process_exits_total: {
    help: 'Ends of embedded model processes that nobody asked for.',
    labels: ['model'],
  },
} as const
type CounterName = keyof typeof COUNTERS

/** `worker`: the number of the data worker in this thread. */
export function createMetrics(worker = 0): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'infergate_' })
  const registers = [registry]
  const calls = new CallCounts()
  exportCalls(calls, { registry, worker })
  const attempts = new AttemptCounts()
  exportAttempts(attempts, registry)
  const faults = new Counter({
    name: 'infergate_faults_total',
    help: 'Calls the gateway answered with an error of its own.',
    labelNames: ['route', 'fault'],
    registers,
  })
  const retries = new Counter({
    name: 'infergate_retries_total',
    help: 'Attempts that followed another one of the same call.',
    labelNames: ['pool', 'reason'],
    registers,
  })
  const hedges = new Counter({
    name: 'infergate_hedges_total',
    help: 'Second tries sent for a late first one, by which was faster.',
    labelNames: ['pool', 'outcome'],
    registers,
  })
  const tiers = new Counter({
    name: 'infergate_cache_operations_total',
    help: 'Operations on cache tiers, by outcome.',
    labelNames: ['tier', 'operation', 'outcome'],
    registers,
  })
  const tierSeconds = new Histogram({
    name: 'infergate_cache_lookup_seconds',
    help: 'Time of look-ups in shared tiers.',
    labelNames: ['tier'],
    buckets: TIER_BUCKETS,
    registers,
  })
  const rows = new Counter({
    name: 'infergate_cache_rows_total',
    help: 'Rows of calls that were answered row by row.',
    labelNames: ['model', 'result'],
    registers,
  })
  const splitting = new Counter({
    name: 'infergate_cache_row_splitting_total',
    help: 'Changes of whether a model is answered row by row: proved, refused, suspended.',
    labelNames: ['model', 'state'],
    registers,
  })
  const counters = new Map(
    Object.entries(COUNTERS).map(([name, { help, labels }]) => [
      name,
      new Counter({ name, help, labelNames: [...labels], registers }),
    ]),
  )
  return {
    answered(call) {
      const { route, fault } = call
      calls.add(call, cacheLabel(call.outcome))
      if (fault !== undefined) faults.inc({ route, fault })
    },
    attempted(pool, backend, ending, ms) {
      attempts.add(pool, backend, { ending, seconds: ms / 1000 })
    },
    retried: (pool, reason) => retries.inc({ pool, reason }),
    hedged: (pool, outcome) => hedges.inc({ pool, outcome }),
    tier(tier, operation, outcome, ms) {
      tiers.inc({ tier, operation, outcome })
      if (operation === 'get') tierSeconds.observe({ tier }, ms / 1000)
    },
    splitting: (model, state) => splitting.inc({ model, state }),
    rows(model, counts) {
      for (const [result, count] of Object.entries(counts)) if (count > 0) rows.inc({ model, result }, count)
    },
    count: (name, labels, by = 1) => counters.get(name)?.inc(labels, by),
    gauge(name, help, labels, collect) {
      new Gauge({
        name,
        help,
        labelNames: [...labels],
        registers,
        collect() {
          this.reset()
          for (const { labels, value } of collect()) this.set(labels, value)
        },
      })
    },
    async expose(others = []) {
      const all =
        others.length === 0 ? registry : AggregatorRegistry.aggregate([await plain(registry), ...others])
      return { contentType: registry.contentType, body: await all.metrics() }
    },
    async snapshot() {
      const own = await plain(registry)
      return own.filter(({ name }) => !OF_PROCESS.test(name))
    },
  }
}

/** What a worker would tell of the whole process, which the control thread tells already. */
const OF_PROCESS = /^infergate_(process_|nodejs_version)/

async function plain(registry: Pick<Registry, 'getMetricsAsJSON'>): Promise<MetricsSnapshot> {
  const all = (await registry.getMetricsAsJSON()) as unknown as MetricsSnapshot
  return all.map(worstOf)
}

/** Of several threads' delays the longest is of interest, and no mean of them. */
function worstOf(metric: PlainMetric): PlainMetric {
  return metric.name.includes('_nodejs_eventloop_') ? { ...metric, aggregator: 'max' } : metric
}

/** What ended threads have counted goes on counting; what they measured of themselves does not. */
export async function totalsOf(ended: readonly MetricsSnapshot[]): Promise<MetricsSnapshot> {
  const all = await plain(AggregatorRegistry.aggregate([...ended]))
  return all.filter(({ type }) => type === 'counter' || type === 'histogram')
}

function cacheLabel(outcome: Outcome): string {
  return outcome.kind === 'miss' && outcome.collapsed ? 'collapsed' : outcome.kind
}

/** The counts of calls, as metrics of the registry. */
function exportCalls(
  calls: CallCounts,
  { registry, worker }: { readonly registry: Registry; readonly worker: number },
): void {
  const registers = [registry]
  new Counter({
    name: 'infergate_worker_calls_total',
    help: 'Calls answered, by the data worker that did.',
    labelNames: ['worker'],
    registers,
    collect() {
      this.reset()
      let sum = 0
      for (const { statuses } of calls.cells()) for (const count of statuses) sum += count
      this.inc({ worker }, sum)
    },
  })
  new Counter({
    name: 'infergate_calls_total',
    help: 'Calls answered, by what the cache did and by status class.',
    labelNames: ['route', 'cache', 'status'],
    registers,
    collect() {
      this.reset()
      for (const { labels, statuses } of calls.cells())
        for (const [of, count] of statuses.entries())
          if (count > 0) this.inc({ ...labels, status: `${of}xx` }, count)
    },
  })
  new Counter({
    name: 'infergate_requests_total',
    help: 'Requests, by the reader that took them from the connection.',
    labelNames: ['door'],
    registers,
    collect() {
      this.reset()
      for (const [door, count] of calls.doors()) this.inc({ door }, count)
    },
  })
  const help = 'Time from the head of a request to the end of its answer.'
  exportTimes({ name: 'infergate_call_seconds', help, cells: () => calls.cells() }, registry)
}

/** The counts of attempts, likewise. */
function exportAttempts(attempts: AttemptCounts, registry: Registry): void {
  new Counter({
    name: 'infergate_backend_attempts_total',
    help: 'Attempts at backends, by how they ended.',
    labelNames: ['pool', 'backend', 'ending'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { labels, endings } of attempts.cells())
        for (const [backend, counts] of endings)
          for (const [ending, [count = 0]] of counts) this.inc({ ...labels, backend, ending }, count)
    },
  })
  const help = 'Time an attempt at a backend took, to the end of its answer.'
  exportTimes({ name: 'infergate_backend_seconds', help, cells: () => attempts.cells() }, registry)
}

interface Timed {
  readonly name: string
  readonly help: string
  readonly cells: () => readonly Times<object>[]
}

function exportTimes({ name, help, cells }: Timed, registry: Registry): void {
  const facts = { name, help, type: 'histogram', aggregator: 'sum' }
  // A histogram of the package cannot be given its counts, but whatever has this form can be registered.
  const seconds = { ...facts, get: async () => ({ ...facts, values: secondsOf(name, cells()) }) }
  registry.registerMetric(seconds as unknown as Metric)
}

function secondsOf(name: string, cells: readonly Times<object>[]) {
  return cells.flatMap(({ labels, buckets, seconds: [sum = 0] }) => {
    let count = 0
    const values = [...CALL_BUCKETS, '+Inf'].map((le, i) => {
      count += buckets[i] ?? 0
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count }
    })
    return [
      ...values,
      { metricName: `${name}_sum`, labels: { ...labels }, value: sum },
      { metricName: `${name}_count`, labels: { ...labels }, value: count },
    ]
  })
}
