/**
 * Writes the metrics in Prometheus' text format, together with those of the process. It is loaded with the first
 * scrape, because prom-client takes a tenth of the start time.
 */
import { AggregatorRegistry, collectDefaultMetrics, type Metric, Registry } from 'prom-client'

export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** A sample, or a part of a histogram, which has a name of its own and a bound among its labels. */
export interface Value {
  readonly metricName?: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

/** A metric whose values are collected at each scrape. */
export interface MetricSource {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly values: () => readonly Value[]
}

/** Metrics with their values as plain data, in prom-client's form. */
export type MetricsSnapshot = readonly PlainMetric[]

interface PlainMetric {
  readonly name: string
  readonly help: string
  readonly type: string
  /** How the values of several threads are merged. */
  readonly aggregator: string
  readonly values: readonly Value[]
}

/** Metrics of the whole process, which only the control thread exposes. */
const OF_PROCESS = /^infergate_(process_|nodejs_version)/

/**
 * Gauges of prom-client whose names end in `_total`, which Prometheus takes for counters (promtool check metrics). They
 * are sums of three metrics that have the kind as a label.
 */
const MISNAMED = ['handles', 'requests', 'resources'].map((what) => `infergate_nodejs_active_${what}_total`)

export class Exposition {
  readonly #registry = new Registry()
  readonly #sources: readonly MetricSource[]
  #known = 0

  /** @param sources further ones may be appended later */
  constructor(sources: readonly MetricSource[]) {
    this.#sources = sources
    collectDefaultMetrics({ register: this.#registry, prefix: 'infergate_' })
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name)
  }

  async text(others: readonly MetricsSnapshot[]) {
    const registry = this.#complete()
    const all =
      others.length === 0 ? registry : AggregatorRegistry.aggregate([await snapshotOf(registry), ...others])
    return { contentType: registry.contentType, body: await all.metrics() }
  }

  async snapshot(): Promise<MetricsSnapshot> {
    return (await snapshotOf(this.#complete())).filter(({ name }) => !OF_PROCESS.test(name))
  }

  #complete(): Registry {
    for (const { values, ...facts } of this.#sources.slice(this.#known)) {
      const made = { ...facts, aggregator: 'sum' }
      // A metric of prom-client cannot be given its values, but any object of this shape can be registered.
      const metric = { ...made, get: async () => ({ ...made, values: [...values()] }) }
      this.#registry.registerMetric(metric as unknown as Metric)
    }
    this.#known = this.#sources.length
    return this.#registry
  }
}

/** Merges the metrics of several threads. */
export function sumOf(snapshots: readonly MetricsSnapshot[]): Promise<MetricsSnapshot> {
  return snapshotOf(AggregatorRegistry.aggregate([...snapshots]))
}

async function snapshotOf(registry: Pick<Registry, 'getMetricsAsJSON'>): Promise<MetricsSnapshot> {
  const all = (await registry.getMetricsAsJSON()) as unknown as MetricsSnapshot
  return all.map(worstOf)
}

/** Takes the maximum of the threads' event loop delays: a mean would hide a blocked thread. */
function worstOf(metric: PlainMetric): PlainMetric {
  return metric.name.includes('_nodejs_eventloop_') ? { ...metric, aggregator: 'max' } : metric
}
