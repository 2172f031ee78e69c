/** Rounds into medians and verdicts. A report holds the latest result of each scenario, with where and how it was made. */
import type { Machine } from './machine.ts'
import type { MeasuredSide, Outcome } from './measure.ts'
import { FIGURES, type FigureName, type Goal, type Round, type Scenario } from './scenario.ts'
import { median, paired, range } from './stats.ts'

export interface Provenance {
  readonly command: string
  readonly machine: Machine
}

export interface SideReport {
  readonly name: string
  /** Over the rounds. */
  readonly medians: Round
  /** Lowest and highest round of the figure that counts. */
  readonly range: readonly [low: number, high: number]
  readonly rounds: readonly Round[]
  readonly faults: readonly string[]
}

export type Verdict = 'aim' | 'enough' | 'short' | 'invalid' | 'not measured'

export interface Score {
  readonly goal: Goal
  /** Of the medians; undefined when a side is missing. */
  readonly value: number | undefined
  /** Lowest and highest round. */
  readonly range: readonly [low: number, high: number]
  readonly verdict: Verdict
}

export interface ScenarioReport {
  readonly name: string
  readonly title: string
  readonly note: string
  readonly figure: FigureName
  readonly sides: readonly SideReport[]
  readonly left: readonly string[]
  readonly rounds: number
  readonly seconds: number
  readonly scores: readonly Score[]
  readonly made: Provenance
}

export interface Report {
  readonly scenarios: readonly ScenarioReport[]
}

export function scenarioReport(
  scenario: Scenario,
  { sides, left, rounds, seconds }: Outcome,
  made: Provenance,
): ScenarioReport {
  const { name, title, note = '', figure, goals } = scenario
  return {
    name,
    title,
    note,
    figure,
    sides: sides.filter(({ rounds }) => rounds.length > 0).map((side) => sideReport(side, figure)),
    left,
    rounds,
    seconds,
    scores: goals.map((goal) => score(goal, sides)),
    made,
  }
}

function sideReport({ name, rounds, faults }: MeasuredSide, figure: FigureName): SideReport {
  const figures = Object.keys(FIGURES) as FigureName[]
  const measured = figures.filter((each) => rounds.some((round) => round[each] !== undefined))
  const medians = Object.fromEntries(measured.map((each) => [each, median(valuesOf(rounds, each))]))
  return { name, medians, range: range(valuesOf(rounds, figure)), rounds, faults }
}

const valuesOf = (rounds: readonly Round[], figure: FigureName): number[] =>
  rounds.map((round) => round[figure]).filter((value) => value !== undefined)

const HOW: Record<Goal['how'], (one: number, other: number) => number> = {
  times: (one, other) => one / other,
  more: (one, other) => one - other,
  is: (one) => one,
}

export function score(goal: Goal, sides: readonly MeasuredSide[]): Score {
  const { side, against = side, figure, how } = goal
  const [ours, theirs] = [side, against].map((name) => sides.find((one) => one.name === name))
  if (!ours?.rounds.length || !theirs?.rounds.length)
    return { goal, value: undefined, range: [Number.NaN, Number.NaN], verdict: 'not measured' }
  const [one, other] = [valuesOf(ours.rounds, figure), valuesOf(theirs.rounds, figure)]
  const value = HOW[how](median(one), median(other))
  const valid = ours.faults.length === 0 && theirs.faults.length === 0 && Number.isFinite(value)
  return {
    goal,
    value,
    range: range(paired(one, other, HOW[how])),
    verdict: valid ? verdict(goal, value) : 'invalid',
  }
}

/** How much of what is demanded is reached, whichever way is better; undefined where there is no result. */
export function attained({ goal, value, verdict }: Score): number | undefined {
  if (value === undefined || verdict === 'invalid') return undefined
  if (FIGURES[goal.figure].better === 'more') return value / goal.demanded
  return goal.demanded / Math.max(value, goal.demanded / MOST_ATTAINED)
}

// Of an overhead of nothing, everything would be attained.
const MOST_ATTAINED = 5

function verdict({ figure, demanded, aimed }: Goal, value: number): Verdict {
  const reaches = (mark: number) => (FIGURES[figure].better === 'more' ? value >= mark : value <= mark)
  if (reaches(aimed)) return 'aim'
  return reaches(demanded) ? 'enough' : 'short'
}

/** New results take the places of old ones; what is no scenario any more is gone. In the order of the list. */
export function merged(
  order: readonly { readonly name: string }[],
  before: Report,
  now: readonly ScenarioReport[],
): Report {
  const latest = new Map([...before.scenarios, ...now].map((one) => [one.name, one]))
  return { scenarios: order.map(({ name }) => latest.get(name)).filter((one) => one !== undefined) }
}
