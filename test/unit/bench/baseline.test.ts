/** A baseline says no where a claim has fallen, and not where it has only trembled. */
import { expect, test } from 'vitest'
import { type Baseline, baselineOf, claimName, falls, readBaseline } from '../../../bench/lib/baseline.ts'
import type { ScenarioReport, Score } from '../../../bench/lib/report.ts'
import type { Goal } from '../../../bench/lib/scenario.ts'
import { scenarios } from '../../../bench/scenarios.ts'

const RATE: Goal = {
  side: 'infergate',
  figure: 'perSecond',
  how: 'times',
  against: 'nginx',
  demanded: 1,
  aimed: 2,
}
const TAIL: Goal = { ...RATE, figure: 'p99Ms' }

const report = (
  goal: Goal,
  value: number | undefined,
  range: readonly [number, number],
): ScenarioReport[] => [
  { name: 'hit', scores: [{ goal, value, range, verdict: 'enough' } satisfies Score] } as never,
]

const before = (goal: Goal): Baseline => baselineOf(report(goal, 1.1, [1.0, 1.2]))

test.each([
  [
    'a rate whose best round is under the median of before, and its median under the worst round',
    RATE,
    0.9,
    [0.85, 1.05],
    1,
  ],
  ['a rate that one of its rounds still reaches', RATE, 0.9, [0.7, 1.15], 0],
  ['a rate within the rounds of before', RATE, 1.05, [0.9, 1.08], 0],
  ['a rate that has risen', RATE, 2, [1.9, 2.1], 0],
  ['a tail that has grown', TAIL, 1.4, [1.15, 1.5], 1],
  ['a tail that has shrunk', TAIL, 0.5, [0.4, 0.6], 0],
] as const)('%s', (_, goal, value, range, count) => {
  expect(falls(before(goal), report(goal, value, range))).toHaveLength(count)
})

test('what was measured and is not valid now has fallen; what was never measured has not', () => {
  expect(falls(before(RATE), report(RATE, undefined, [Number.NaN, Number.NaN]))).toMatchObject([
    { now: undefined },
  ])
  expect(falls({}, report(RATE, 0.1, [0.1, 0.1]))).toEqual([])
})

test('the committed baseline speaks of claims that there are', () => {
  const names = scenarios.flatMap(({ name, goals }) => goals.map((goal) => claimName(name, goal)))
  const marks = Object.keys(readBaseline(new URL('../../../bench/baseline.json', import.meta.url).pathname))
  expect(marks.filter((mark) => !names.includes(mark))).toEqual([])
  expect(marks.length).toBeGreaterThan(10)
})
