/** How the first of two servers does beside the second: the ratio in each round, of which the middle and the ends are told. */
import type { Seen } from './load-test.ts'
import { type LoadSummary, summarise } from './summary.ts'

export interface Ratio {
  readonly what: string
  readonly median: number
  readonly low: number
  readonly high: number
}

const COMPARED: readonly (readonly [what: string, read: (summary: LoadSummary) => number])[] = [
  ['calls a second', ({ callsPerSecond }) => callsPerSecond],
  ['latency p50', ({ latencyUs }) => latencyUs.p50],
  ['latency p95', ({ latencyUs }) => latencyUs.p95],
  ['latency p99', ({ latencyUs }) => latencyUs.p99],
  ['first token p50', ({ written }) => written?.firstTokenUs.p50 ?? 0],
  ['tokens a second', ({ written }) => written?.tokensPerSecond ?? 0],
]

/** Of what both sides have in at least one round. */
export function ratios(rounds: readonly (readonly Seen[])[]): Ratio[] {
  const summaries = rounds.map((round) => round.map(summarise))
  return COMPARED.flatMap(([what, read]) => {
    const each = summaries.flatMap(([first, second]) => {
      const [one, other] = [first && read(first), second && read(second)]
      return one && other ? [one / other] : []
    })
    const sorted = each.sort((a, b) => a - b)
    const [low, high] = [sorted[0], sorted.at(-1)]
    return low === undefined || high === undefined ? [] : [{ what, median: middleOf(sorted), low, high }]
  })
}

function middleOf(sorted: readonly number[]): number {
  const half = sorted.length / 2
  const [below = 0, above = 0] = [sorted[Math.ceil(half) - 1], sorted[Math.floor(half)]]
  return (below + above) / 2
}
