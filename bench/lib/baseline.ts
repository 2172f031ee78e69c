/**
 * What the claims of the scenarios came to when somebody last looked closely: bench/baseline.json, which `--baseline`
 * writes and `--check` compares with. Results move with each run; a baseline moves only when somebody means it.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import type { ScenarioReport, Score } from './report.ts'
import { FIGURES, type Goal } from './scenario.ts'

/** Of a claim: its ratio, and that of the lowest and the highest round. */
export interface Mark {
  readonly value: number
  readonly range: readonly [low: number, high: number]
}

/** By the claim's name. */
export type Baseline = Readonly<Record<string, Mark>>

export interface Fall {
  readonly claim: string
  readonly now: Mark | undefined
  readonly before: Mark
}

export function claimName(scenario: string, { side, figure, how, against }: Goal): string {
  const compared = how === 'is' ? '' : how === 'times' ? ` ÷ ${against}` : ` − ${against}`
  return `${scenario}: ${FIGURES[figure].heading}, ${side}${compared}`
}

export function baselineOf(scenarios: readonly ScenarioReport[]): Baseline {
  return Object.fromEntries(
    scenarios.flatMap(({ name, scores }) =>
      scores.flatMap((score) => {
        const mark = markOf(score)
        return mark ? [[claimName(name, score.goal), mark] as const] : []
      }),
    ),
  )
}

/**
 * What has fallen by more than its noise: the median is worse than the worst round was, and not even the best round
 * reaches what the median was. What was measured then and is not valid now has fallen as well.
 */
export function falls(baseline: Baseline, scenarios: readonly ScenarioReport[]): readonly Fall[] {
  return scenarios.flatMap(({ name, scores }) =>
    scores.flatMap((score) => {
      const claim = claimName(name, score.goal)
      const before = baseline[claim]
      if (!before) return []
      const now = markOf(score)
      return now && !isWorse(score.goal, now, before) ? [] : [{ claim, now, before }]
    }),
  )
}

function isWorse({ figure }: Goal, now: Mark, before: Mark): boolean {
  return FIGURES[figure].better === 'more'
    ? now.value < before.range[0] && now.range[1] < before.value
    : now.value > before.range[1] && now.range[0] > before.value
}

function markOf({ value, range, verdict }: Score): Mark | undefined {
  return value === undefined || verdict === 'invalid' || verdict === 'not measured'
    ? undefined
    : { value, range }
}

export function readBaseline(file: string): Baseline {
  return JSON.parse(readFileSync(file, 'utf8')) as Baseline
}

/** New marks take the places of old ones; a scenario that was not run keeps its own. */
export function keepBaseline(file: string, before: Baseline, now: Baseline): void {
  writeFileSync(file, `${JSON.stringify({ ...before, ...now }, undefined, 2)}\n`)
}
