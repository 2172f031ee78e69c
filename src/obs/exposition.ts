/**
 * Metrics in Prometheus' form, and those of the process itself. Loaded when somebody first asks for them: the package
 * behind it takes a tenth of a start.
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

/** A metric whose values are asked for at each scrape. */
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
  /** How the values of several threads become one. */
  readonly aggregator: string
  readonly values: readonly Value[]
}

/** What a worker would tell of the whole process, which the control thread tells already. */
const OF_PROCESS = /^infergate_(process_|nodejs_version)/

/**
 * Gauges of the package that end in `_total`, which Prometheus takes for the name of a counter (promtool check metrics). They
 * are the sums of three that have the kind as a label, and no more.
 */
const MISNAMED = ['handles', 'requests', 'resources'].map((what) => `infergate_nodejs_active_${what}_total`)

export class Exposition {
  readonly #registry = new Registry()
  readonly #sources: readonly MetricSource[]
  #known = 0

  /** `sources`: may become more. */
  constructor(sources: readonly MetricSource[]) {
    this.#sources = sources
    collectDefaultMetrics({ register: this.#registry, prefix: 'infergate_' })
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name)
  }

  async text(others: readonly MetricsSnapshot[]) {
    const registry = this.#complete()
    const all =
      others.length === 0 ? registry : AggregatorRegistry.aggregate([await plain(registry), ...others])
    return { contentType: registry.contentType, body: await all.metrics() }
  }

  async snapshot(): Promise<MetricsSnapshot> {
    return (await plain(this.#complete())).filter(({ name }) => !OF_PROCESS.test(name))
  }

  #complete(): Registry {
    for (const { values, ...facts } of this.#sources.slice(this.#known)) {
      const made = { ...facts, aggregator: 'sum' }
      // Metrics of the package cannot be given their values, but whatever has this form can be registered.
      const metric = { ...made, get: async () => ({ ...made, values: [...values()] }) }
      this.#registry.registerMetric(metric as unknown as Metric)
    }
    this.#known = this.#sources.length
    return this.#registry
  }
}

/** What several threads tell, as one. */
export function sumOf(snapshots: readonly MetricsSnapshot[]): Promise<MetricsSnapshot> {
  return plain(AggregatorRegistry.aggregate([...snapshots]))
}

async function plain(registry: Pick<Registry, 'getMetricsAsJSON'>): Promise<MetricsSnapshot> {
  const all = (await registry.getMetricsAsJSON()) as unknown as MetricsSnapshot
  return all.map(worstOf)
}

/** Of several threads' delays the longest is of interest, and no mean of them. */
function worstOf(metric: PlainMetric): PlainMetric {
  return metric.name.includes('_nodejs_eventloop_') ? { ...metric, aggregator: 'max' } : metric
}
