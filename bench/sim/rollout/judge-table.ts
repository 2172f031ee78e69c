/** What the judge finds over many seeds, as a table. */
import { judge, LIMITS, type Pair } from './judging.ts'

export const PAIRS: Readonly<Record<string, Pair>> = {
  'equal, 1 % fail': { failing: 0.01 },
  'equal, 0.1 % fail': { failing: 0.001 },
  'equal, 5 % fail': { failing: 0.05 },
  'just as bad as allowed': { failing: 0.01, more: 0.005, slower: 1.2, differing: 0.001 },
  '1 % fail, the new one 5 points more': { failing: 0.01, more: 0.05 },
  '0.1 % fail, the new one 5 points more': { failing: 0.001, more: 0.05 },
  '5 % fail, the new one 5 points more': { failing: 0.05, more: 0.05 },
  'takes 1.5 times as long': { failing: 0.01, slower: 1.5 },
  'takes 2 times as long': { failing: 0.01, slower: 2 },
  '1 % of the answers differ': { failing: 0.01, differing: 0.01 },
}

export function judgeTable(pairs: typeof PAIRS, seeds: number): string[] {
  const rows = Object.entries(pairs).map(([name, pair]) => {
    const { stopped, stoppedEarly, calls, sample } = judge(pair, seeds)
    const at = (q: number) => calls[Math.min(calls.length - 1, Math.floor(q * calls.length))] ?? '-'
    return `| ${name} | ${sample} | ${stopped} | ${stoppedEarly} | ${at(0.5)} | ${at(0.95)} |`
  })
  const { maxErrors, maxLatency, maxDifferences = 0 } = LIMITS
  return [
    '## The judge',
    '',
    `Of ${seeds} rollouts (seeds 0 to ${seeds - 1}; latency lognormal with SCV 0.5, looked at every second) those that were stopped, and the calls of the new pool until then. Allowed are ${100 * maxErrors} percentage points more failures, ${maxLatency} times the latency, ${100 * maxDifferences} % differing answers. A pool within these limits is to be stopped in at most 1 of 100 rollouts.`,
    '',
    '| versions | smallest sample of a step | stopped | of these before 5 % of the calls | calls, median | 95 % |',
    '|---|---|---|---|---|---|',
    ...rows,
  ]
}
