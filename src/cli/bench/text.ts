/** What a load test has found, as a table for people. */
import type { Ratio } from '../../load-test/compare.ts'
import type { LoadSummary, Percentiles } from '../../load-test/summary.ts'
import { formatNumber, formatShare, formatUs } from '../../load-test/units.ts'

/** Lines of a name and what is said of it. */
export function summaryLines(summary: LoadSummary): string[] {
  const { calls, callsPerSecond, rowsPerSecond, seconds, errorShare, written } = summary
  const rows: [string, string | undefined][] = [
    [
      'calls',
      `${calls} in ${seconds.toFixed(1)} s, ${formatNumber(callsPerSecond)} a second (${formatNumber(rowsPerSecond)} rows a second)`,
    ],
    ['latency', `${latencies(summary.latencyUs)}, mean ${formatUs(summary.latencyUs.mean)}`],
    ['tokens', written && `${written.tokens}, ${formatNumber(written.tokensPerSecond)} a second`],
    ['first', written && written.firstTokenUs.max > 0 ? latencies(written.firstTokenUs) : undefined],
    ['between', written && written.betweenTokensUs.max > 0 ? latencies(written.betweenTokensUs) : undefined],
    ['status', counted(summary.statuses) || 'none'],
    ['cache', cacheLine(summary)],
    ['errors', `${formatShare(errorShare)} of the calls${faultsOf(summary)}`],
  ]
  return rows.flatMap(([name, text]) => (text === undefined ? [] : [`${name.padEnd(8)} ${text}`]))
}

export function ratioLines(ratios: readonly Ratio[]): string[] {
  const width = Math.max(0, ...ratios.map(({ what }) => what.length))
  const each = ({ what, median, low, high }: Ratio) =>
    `  ${what.padEnd(width)}  ${formatNumber(median)} (${formatNumber(low)} to ${formatNumber(high)})`
  return ['first / second, middle of the rounds (lowest to highest)', ...ratios.map(each)]
}

function latencies(percentiles: Percentiles): string {
  const { p50, p90, p95, p99, 'p99.9': p999, 'p99.99': p9999, max } = percentiles
  const shown = { p50, p90, p95, p99, 'p99.9': p999, 'p99.99': p9999, max }
  return Object.entries(shown)
    .map(([name, us]) => `${name} ${formatUs(us)}`)
    .join(', ')
}

function cacheLine({ cache, savedRowShare }: LoadSummary): string {
  const said = Object.values(cache).reduce((sum, count) => sum + count, 0)
  if (said === 0) return 'no answer says anything of a cache'
  const kinds = ['hit', 'collapsed', 'partial', 'miss', 'bypass'].flatMap((kind) => {
    const count = cache[kind] ?? 0
    return count === 0 ? [] : [`${kind} ${formatShare(count / said)}`]
  })
  const rows = savedRowShare === undefined ? '' : `; ${formatShare(savedRowShare)} of the rows saved`
  return `${kinds.join(', ')}${rows}`
}

function faultsOf({ faults, generator: { unfinished } }: LoadSummary): string {
  const parts = [counted(faults), unfinished > 0 ? `${unfinished} had not ended` : ''].filter(Boolean)
  return parts.length === 0 ? '' : ` (${parts.join('; ')})`
}

function counted(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name}: ${count}`)
    .join(', ')
}
