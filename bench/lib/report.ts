/** Rounds into medians, and medians into JSON, a table and a plot. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Scenario } from '../scenarios/index.ts'
import type { ContenderName } from './contenders.ts'
import type { Measured } from './load.ts'
import type { Machine } from './machine.ts'
import { barChart } from './plot.ts'

export interface Round extends Measured {
  readonly cpuMicrosPerRequest: number
}

export interface Result {
  readonly contender: ContenderName
  readonly rounds: readonly Round[]
  /** Medians over the rounds. */
  readonly value: number
  /** Lowest and highest round. */
  readonly range: readonly [number, number]
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuMicrosPerRequest: number
  readonly errors: number
}

export interface ScenarioReport {
  readonly scenario: Scenario
  readonly results: readonly Result[]
  /** Contenders that could not be measured, and what is missing for them. */
  readonly left: readonly string[]
  /** Ours to the second contender; for latency, the milliseconds that are added. */
  readonly score: number | undefined
  readonly verdict: 'aim' | 'enough' | 'short' | 'invalid'
}

export interface Report {
  readonly command: string
  readonly machine: Machine
  readonly rounds: number
  readonly seconds: number
  readonly scenarios: readonly ScenarioReport[]
}

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[half] ?? 0) : ((sorted[half - 1] ?? 0) + (sorted[half] ?? 0)) / 2
}

export function resultOf(scenario: Scenario, contender: ContenderName, rounds: readonly Round[]): Result {
  const rows = scenario.bodies.kind === 'batch' ? scenario.bodies.rows : 1
  const values = rounds.map(({ requestsPerSecond, p50Ms }) =>
    scenario.unit === 'added ms' ? p50Ms : requestsPerSecond * rows,
  )
  const of = (pick: (round: Round) => number) => median(rounds.map(pick))
  return {
    contender,
    rounds,
    value: median(values),
    range: [Math.min(...values), Math.max(...values)],
    p50Ms: of(({ p50Ms }) => p50Ms),
    p99Ms: of(({ p99Ms }) => p99Ms),
    cpuMicrosPerRequest: of(({ cpuMicrosPerRequest }) => cpuMicrosPerRequest),
    errors: rounds.reduce((sum, { errors }) => sum + errors, 0),
  }
}

export function scenarioReport(
  scenario: Scenario,
  results: readonly Result[],
  left: readonly string[],
): ScenarioReport {
  const ours = results.find(({ contender }) => contender === scenario.contenders[0])
  const other = results.find(({ contender }) => contender === scenario.contenders[1])
  if (!ours || !other) return { scenario, results, left, score: undefined, verdict: 'invalid' }
  const isLatency = scenario.unit === 'added ms'
  const score = isLatency ? ours.value - other.value : ours.value / other.value
  const reaches = (mark: number) => (isLatency ? score <= mark : score >= mark)
  const verdict = reaches(scenario.aim) ? 'aim' : reaches(scenario.atLeast) ? 'enough' : 'short'
  // Errors are fast: a number with errors in it is not a result.
  return { scenario, results, left, score, verdict: ours.errors + other.errors > 0 ? 'invalid' : verdict }
}

/** Writes the report into a folder: JSON, a table, and a plot for each scenario. */
export function write(report: Report, folder: string): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'report.json'), `${JSON.stringify(report, undefined, 2)}\n`)
  writeFileSync(join(folder, 'report.md'), markdown(report))
  for (const { scenario, results } of report.scenarios) {
    const bars = results.map(({ contender, value, range }) => ({ label: contender, value, range }))
    const unit = scenario.unit === 'added ms' ? 'ms at the median' : scenario.unit
    writeFileSync(join(folder, `${scenario.name}.svg`), barChart({ title: scenario.title, unit, bars }))
  }
}

export function markdown({ command, machine, rounds, seconds, scenarios }: Report): string {
  const versions = Object.entries(machine.versions).filter(([, version]) => version !== '')
  return `# Measured ${machine.date.slice(0, 10)}

\`${command}\` at commit ${machine.commit}: ${rounds} interleaved rounds of ${seconds} s, medians (lowest to highest round).
Server on one core, load and backend on another. ${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel},
load average ${machine.loadAverage.toFixed(1)} at the start. ${versions.map(([name, version]) => `${name} ${version}`).join(', ')}.

${scenarios.map((one) => `## ${one.scenario.title}\n\n${sentence(one)}\n\n${table(one)}\n`).join('\n')}`
}

function sentence({ scenario, score, verdict, left }: ScenarioReport): string {
  const missing = left.length > 0 ? ` Not measured: ${left.join('; ')}.` : ''
  if (score === undefined) return `No comparison.${missing}`
  const [, other] = scenario.contenders
  const unit = scenario.unit === 'added ms' ? ' ms added' : ` times ${other}`
  const wanted = `at least ${scenario.atLeast}, aim ${scenario.aim}`
  const words = {
    aim: 'the aim is reached',
    enough: 'enough',
    short: 'not reached',
    invalid: 'not valid: there were errors',
  }
  return `${score.toFixed(3)}${unit} (${wanted}): ${words[verdict]}.${missing}`
}

function table({ scenario, results }: ScenarioReport): string {
  const isLatency = scenario.unit === 'added ms'
  const digits = isLatency ? 3 : 0
  const show = (value: number) => value.toFixed(digits)
  const heading = isLatency ? 'p50 ms (range)' : scenario.unit
  const lines = results.map(
    ({ contender, value, range, p50Ms, p99Ms, cpuMicrosPerRequest, errors }) =>
      `| ${contender} | ${show(value)} (${show(range[0])} to ${show(range[1])}) | ${p50Ms.toFixed(2)} | ${p99Ms.toFixed(2)} | ${cpuMicrosPerRequest.toFixed(1)} | ${errors} |`,
  )
  return [
    `| server | ${heading} | p50 ms | p99 ms | CPU µs a request | errors |`,
    '|---|---|---|---|---|---|',
    ...lines,
  ].join('\n')
}
