/** Metrics of the samples of routes: of one worker, to be called in each. */
import type { Samples } from '../data/warm/samples.ts'
import type { Metrics } from '../obs/metrics.ts'

export function measureSamples(
  metrics: Pick<Metrics, 'gauge'>,
  sizes: () => ReturnType<Samples['sizes']>,
): void {
  const gauge = (of: 'bytes' | 'calls') => () =>
    sizes().map((size) => ({ labels: { route: size.route }, value: size[of] }))
  metrics.gauge('infergate_warm_sample_bytes', gauge('bytes'))
  metrics.gauge('infergate_warm_sample_calls', gauge('calls'))
}
