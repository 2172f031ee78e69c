/** Parts of the board's queries: what is chosen above the board, rates and quantiles. */
import type { Query } from './panels.ts'

export const IN = 'job=~"$job", instance=~"$instance"'
export const ROUTE = `${IN}, route=~"$route"`
export const POOL = `${IN}, pool=~"$pool"`

export function rate(by: string, metric: string, selector: string): string {
  return `sum by (${by}) (rate(${metric}{${selector}}[$__rate_interval]))`
}

export function total(metric: string, selector: string): string {
  return `sum(rate(${metric}{${selector}}[$__rate_interval]))`
}

export function quantile(q: number, by: string, metric: string, selector: string): string {
  const labels = by === '' ? 'le' : `${by}, le`
  return `histogram_quantile(${q}, ${rate(labels, `${metric}_bucket`, selector)})`
}

export function quantiles(by: string, metric: string, selector: string, legend: string): Query[] {
  return [0.5, 0.95, 0.99].map((q) => ({
    expr: quantile(q, by, metric, selector),
    legend: `p${q * 100}${legend}`,
  }))
}

export const HITS = 'cache=~"hit|collapsed|stale"'
export const CACHED = 'cache=~"hit|collapsed|stale|partial|miss"'
