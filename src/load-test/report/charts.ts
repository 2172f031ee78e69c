/** The charts of a report: what the servers did second by second, what the gateway said of itself, and all latencies by their share. */
import type { Seen } from '../load-test.ts'
import type { LoadTally } from '../tally.ts'
import { formatNumber, formatShare, formatUs } from '../units.ts'
import { type ChartLine, type ChartOptions, chart } from './chart.ts'
import type { Markup } from './markup.ts'

/** What the admin API said in one second of the test. */
export interface GatewaySample {
  readonly second: number
  /** Of all pools. */
  readonly ready: number
  readonly backends: number
  readonly queued: number
  readonly inflight: number
}

interface Side {
  readonly url: string
  readonly seen: Seen
}

/** A number of a second; undefined: there is none. */
type Read = (tally: LoadTally) => number | undefined

const seconds = (x: number): string => `${formatNumber(x)} s`

export function sideCharts(sides: readonly Side[]): Markup[] {
  const quantile =
    (q: number): Read =>
    ({ latency }) =>
      latency.total === 0 ? undefined : latency.quantile(q)
  const first =
    (q: number): Read =>
    ({ firstToken }) =>
      firstToken.total === 0 ? undefined : firstToken.quantile(q)
  const between =
    (q: number): Read =>
    ({ betweenTokens }) =>
      betweenTokens.total === 0 ? undefined : betweenTokens.quantile(q)
  const times = { formatX: seconds, formatY: formatUs, isLog: true }
  const rates = { formatX: seconds, formatY: formatNumber }
  const shares = { formatX: seconds, formatY: formatShare, leastTop: 1 }
  return drawn([
    {
      ...times,
      title: 'latency',
      lines: linesOf(sides, {
        p50: quantile(0.5),
        p95: quantile(0.95),
        p99: quantile(0.99),
        max: quantile(1),
      }),
    },
    {
      ...rates,
      title: 'calls a second',
      lines: linesOf(sides, { sent: ({ numbers }) => numbers.sent, ended: ({ numbers }) => numbers.calls }),
    },
    {
      ...rates,
      title: 'errors a second',
      lines: linesOf(sides, { errors: ({ numbers }) => numbers.errors }),
    },
    {
      ...shares,
      title: 'cache',
      lines: linesOf(sides, { hits: hitShare, 'rows saved': savedShare }).filter(isSaid),
    },
    {
      ...times,
      title: 'tokens: time to the first, and between',
      lines: linesOf(sides, {
        'first p50': first(0.5),
        'first p95': first(0.95),
        'between p50': between(0.5),
        'between p95': between(0.95),
      }).filter(isSaid),
    },
    {
      ...rates,
      title: 'tokens a second',
      lines: linesOf(sides, { tokens: ({ numbers }) => numbers.tokens || undefined }).filter(isSaid),
    },
  ])
}

export function gatewayCharts(samples: readonly GatewaySample[]): Markup[] {
  const line = (name: string, read: (sample: GatewaySample) => number): ChartLine => ({
    name,
    points: samples.map((sample) => ({ x: sample.second, y: read(sample) })),
  })
  const counts = { formatX: seconds, formatY: formatNumber, leastTop: 1 }
  return drawn([
    {
      ...counts,
      title: 'backends of the gateway',
      lines: [line('ready', ({ ready }) => ready), line('all', ({ backends }) => backends)],
    },
    {
      ...counts,
      title: 'calls at the gateway',
      lines: [line('queued', ({ queued }) => queued), line('at backends', ({ inflight }) => inflight)],
    },
  ])
}

/** Latency by the share of calls that had at most that, on a scale on which each nine has the same room. */
export function spectrum(sides: readonly Side[]): Markup[] {
  const nines = Array.from({ length: 41 }, (_, i) => i / 10)
  const lines = sides.map(({ url, seen: { total } }) => ({
    name: sides.length > 1 ? url : 'latency',
    points: nines
      .filter((n) => 10 ** n <= Math.max(2, total.latency.total))
      .map((n) => ({
        x: n,
        y: total.latency.total === 0 ? undefined : total.latency.quantile(1 - 10 ** -n),
      })),
  }))
  const formatX = (n: number) => `${Number((100 * (1 - 10 ** -n)).toFixed(3))} %`
  return drawn([
    { title: 'latency by the share of the calls', lines, formatX, formatY: formatUs, isLog: true },
  ])
}

function drawn(options: readonly ChartOptions[]): Markup[] {
  return options.map(chart).filter((made) => made !== undefined)
}

/** A line for each side and number, with a gap in seconds in which nothing was counted. */
function linesOf(sides: readonly Side[], reads: Readonly<Record<string, Read>>): ChartLine[] {
  return sides.flatMap(({ url, seen }) =>
    Object.entries(reads).map(([name, read]) => ({
      name: sides.length > 1 ? `${name}, ${url}` : name,
      points: secondsOf(seen).map((x) => {
        const tally = seen.seconds.get(x)
        return { x, y: tally && read(tally) }
      }),
    })),
  )
}

const secondsOf = ({ seconds: known }: Seen): number[] =>
  Array.from({ length: Math.max(-1, ...known.keys()) + 1 }, (_, second) => second)

const isSaid = ({ points }: ChartLine): boolean => points.some(({ y }) => y !== undefined)

const saidOf = ({ cache }: LoadTally): number => Object.values(cache).reduce((sum, count) => sum + count, 0)

const hitShare: Read = (tally) =>
  saidOf(tally) === 0
    ? undefined
    : ((tally.cache['hit'] ?? 0) + (tally.cache['collapsed'] ?? 0)) / saidOf(tally)

const savedShare: Read = (tally) =>
  saidOf(tally) === 0 || tally.numbers.rows === 0 ? undefined : tally.numbers.savedRows / tally.numbers.rows
