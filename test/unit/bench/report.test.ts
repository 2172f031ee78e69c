/** Rounds become verdicts, and verdicts a page: what is not valid must say so, and nothing measured may be lost. */
import { expect, test } from 'vitest'
import { markdown } from '../../../bench/lib/markdown.ts'
import { HELP, Mistake, parseOptions } from '../../../bench/lib/options.ts'
import { estimate, forQuick } from '../../../bench/lib/plan.ts'
import { barChart } from '../../../bench/lib/plot.ts'
import { attained, merged, scenarioReport, score } from '../../../bench/lib/report.ts'
import { type Goal, nameOf, type Scenario } from '../../../bench/lib/scenario.ts'
import { scenarios } from '../../../bench/scenarios.ts'

const GOAL: Goal = {
  side: 'infergate',
  figure: 'perSecond',
  how: 'times',
  against: 'varnish',
  demanded: 1.05,
  aimed: 1.3,
}

const sides = (ours: readonly number[], theirs: readonly number[], faults: readonly string[] = []) => [
  { name: 'infergate', rounds: ours.map((perSecond) => ({ perSecond, p99Ms: 1 })), faults },
  { name: 'varnish', rounds: theirs.map((perSecond) => ({ perSecond, p99Ms: 2 })), faults: [] },
]

test('a ratio is of the medians, with the range of the rounds beside it', () => {
  const { value, range, verdict } = score(GOAL, sides([110, 120, 500], [100, 100, 100]))
  expect({ value, range, verdict }).toEqual({ value: 1.2, range: [1.1, 5], verdict: 'enough' })
})

test.each([
  ['aim', score(GOAL, sides([130], [100]))],
  ['short', score(GOAL, sides([104], [100]))],
  ['invalid', score(GOAL, sides([200], [100], ['round 1: 3 errors']))],
  ['not measured', score(GOAL, sides([200], []))],
  ['aim', score({ ...GOAL, figure: 'p99Ms', demanded: 1, aimed: 0.5 }, sides([1], [1]))],
  ['enough', score({ ...GOAL, figure: 'p99Ms', how: 'more', demanded: 0, aimed: -2 }, sides([1], [1]))],
])('the verdict is %s', (wanted, { verdict }) => {
  expect(verdict).toBe(wanted)
})

test('attained is a share of what is demanded, whichever way is better', () => {
  expect(attained(score(GOAL, sides([210], [100])))).toBeCloseTo(2)
  expect(attained(score({ ...GOAL, figure: 'p99Ms', demanded: 1 }, sides([1], [1])))).toBeCloseTo(2)
  expect(attained(score(GOAL, sides([210], [100], ['errors'])))).toBeUndefined()
})

const SCENARIO: Scenario = {
  name: 'hit',
  title: 'a hit',
  measure: { kind: 'load', bodies: { kind: 'unique', bytes: 200 }, connections: 1 },
  sides: [{ server: 'infergate' }, { server: 'varnish' }],
  figure: 'perSecond',
  goals: [GOAL],
}
const machine = {
  date: '2026-11-26T12:00:00.000Z',
  cpu: 'a processor',
  cores: 2,
  kernel: '6',
  loadAverage: 0,
  commit: 'abc',
  versions: { node: 'v26', wrk: '' },
}
const made = { command: 'npm run bench', machine }
const report = (name: string, perSecond: number) =>
  scenarioReport(
    { ...SCENARIO, name },
    {
      sides: sides([perSecond], [100], perSecond < 0 ? ['round 1: 9 errors'] : []),
      left: ['haproxy: needs it'],
      rounds: 1,
      seconds: 3,
    },
    made,
  )

test('new results take the places of old ones, and the others stay', () => {
  const before = { scenarios: [report('a', 1), report('b', 2), report('gone', 3)] }
  const after = merged([{ name: 'b' }, { name: 'a' }], before, [report('a', 9)])
  expect(after.scenarios.map(({ name, sides }) => [name, sides[0]?.medians.perSecond])).toEqual([
    ['b', 2],
    ['a', 9],
  ])
})

test('the page says with what, and what is not valid', () => {
  const page = markdown({ scenarios: [report('hit', 150), report('bad', -1)] })
  expect(page).toContain('commit abc: `npm run bench`')
  expect(page).toContain(
    '| [a hit](#hit) | A | requests/s: infergate ÷ varnish | 1.50 (1.50 to 1.50) | ≥ 1.05 | ≥ 1.3 | **aim reached** |',
  )
  expect(page).toContain('**Not valid:** infergate, round 1: 9 errors.')
  expect(page).toContain('Not measured: haproxy: needs it.')
  expect(page).not.toContain('wrk ')
})

test('a chart escapes what it is given and draws what is to be reached', () => {
  const chart = barChart({
    title: 'a < b',
    unit: '%',
    mark: 1,
    bars: [{ label: '"&"', value: 0.5, range: [0.4, 0.6] }],
  })
  expect(chart).toContain('a &lt; b')
  expect(chart).toContain('"&amp;"')
  expect(chart).toContain('stroke-dasharray')
})

test.each(scenarios)('the claims of $name are about sides that it has', ({ sides, goals }) => {
  const claimed = goals.flatMap(({ side, against = side }) => [side, against])
  expect(sides.map(nameOf)).toEqual(expect.arrayContaining(claimed))
})

test('a quick run takes less than two minutes and keeps every claim, a whole one at most sixteen', () => {
  const quick = parseOptions(['--quick'], scenarios)
  const seconds = (list: readonly Scenario[], pace: typeof quick.pace) =>
    list.reduce((sum, one) => sum + estimate(one, pace), 0)
  const shortened = quick.scenarios.map(forQuick)
  expect(seconds(shortened, quick.pace)).toBeLessThan(120)
  for (const { sides, goals } of shortened)
    for (const goal of goals) expect(sides.map(nameOf)).toContain(goal.against ?? goal.side)
  expect(seconds(scenarios, parseOptions([], scenarios).pace)).toBeLessThanOrEqual(960)
})

test('scenarios are named by how they begin', () => {
  const names = (args: string[]) => parseOptions(args, scenarios).scenarios.map(({ name }) => name)
  expect(names(['--only', 'hit-2,herd'])).toEqual(['hit-200b', 'herd'])
  expect(names(['--only', 'hit-2', '--only', 'herd'])).toEqual(['hit-200b', 'herd'])
  expect(names(['--quick', '--only', 'workers'])).toEqual(['workers'])
  expect(names(['profile', 'miss-4kib'])).toEqual(['miss-4kib'])
})

test.each([
  [['--only', 'nothing'], /no scenario begins with "nothing"; there are hit-200b/],
  [['--rounds', '0'], /--rounds takes a whole number/],
  [['--fast'], /Unknown option '--fast'; --help/],
  [['measure'], /"measure" is no command/],
  [['profile'], /profile takes the name of one scenario/],
])('%j is a mistake that is explained', (args, words) => {
  expect(() => parseOptions(args, scenarios)).toThrow(Mistake)
  expect(() => parseOptions(args, scenarios)).toThrow(words)
})

test('every option is in the help', () => {
  for (const option of ['quick', 'only', 'list', 'rounds', 'seconds', 'side', 'out', 'install'])
    expect(HELP).toContain(`--${option}`)
})
