/** What rounds came to: a table of figures a side, and one of claims with what is demanded and aimed at. */
import type { Machine } from '../lib/machine.ts'
import { median, paired, range } from '../lib/stats.ts'
import type { Measured } from './measure.ts'
import type { Goal, Scenario } from './scenarios.ts'

export interface Outcome {
  readonly scenario: Scenario
  readonly measured: readonly Measured[]
}

type Row = Readonly<Record<string, string | number>>

const SHOWN = {
  perSecond: 'a second',
  p50Ms: 'p50 ms',
  p99Ms: 'p99 ms',
  firstP50: 'first token p50 us',
  firstP99: 'first token p99 us',
  betweenP50: 'between p50 us',
  hitShare: 'share of prefix hits',
  imbalance: 'busiest over mean',
  cpuMicros: 'CPU us',
  busy: 'core busy',
  upstream: 'backend requests',
  errors: 'errors',
} as const

const digits = (value: number): number => Number(value >= 1000 ? value.toFixed(0) : value.toPrecision(3))

/** Medians of the rounds; a row a side. */
export function figures({ measured }: Outcome): Row[] {
  return measured.map(({ side, rounds }) => {
    const row: Record<string, string | number> = { side: side.name }
    for (const [figure, heading] of Object.entries(SHOWN)) {
      const values = rounds.map((round) => round[figure] ?? Number.NaN).filter(Number.isFinite)
      if (values.length > 0) row[heading] = digits(median(values))
    }
    return row
  })
}

/** A row for each claim whose sides were both there, and for each side that has another before it. */
export function claims({ scenario, measured }: Outcome): Row[] {
  const befores = measured
    .filter(({ side }) => side.server === 'before')
    .map(({ side }): Pick<Goal, 'side' | 'against' | 'figure' | 'how'> => {
      return {
        side: side.name.replace(', before', ''),
        against: side.name,
        figure: 'perSecond',
        how: 'times',
      }
    })
  return [...scenario.goals, ...befores].flatMap((goal) => claim(goal, measured))
}

function claim(
  goal: Pick<Goal, 'side' | 'against' | 'figure' | 'how'> & Partial<Goal>,
  measured: readonly Measured[],
): Row[] {
  const { side, against, figure, how, least, aim } = goal
  const of = (name: string, which: string) =>
    measured.find((one) => one.side.name === name)?.rounds.map((round) => round[which] ?? Number.NaN)
  const [ours, theirs] = [of(side, figure), of(against, figure)]
  if (!ours || !theirs) return []
  const compared = paired(ours, theirs, how === 'times' ? (a, b) => a / b : (a, b) => a - b)
  if (compared.length === 0) return []
  const [low, high] = range(compared)
  const cpu =
    how === 'times'
      ? paired(of(against, 'cpuMicros') ?? [], of(side, 'cpuMicros') ?? [], (a, b) => a / b)
      : []
  const value = median(compared)
  return [
    {
      claim: `${figure} of ${side}, ${how} ${against}`,
      measured: digits(value),
      range: `${digits(low)} to ${digits(high)}`,
      ...(cpu.length > 0 && Number.isFinite(median(cpu)) ? { 'CPU times': digits(median(cpu)) } : {}),
      ...(least === undefined
        ? {}
        : { 'at least': least, aim: aim ?? least, reached: isReached(goal, value, least) }),
    },
  ]
}

function isReached({ how, figure }: Pick<Goal, 'how' | 'figure'>, value: number, least: number): string {
  const isLess = how === 'more' || figure === 'imbalance'
  return (isLess ? value <= least : value >= least) ? 'yes' : 'no'
}

/** All of it, with the machine. */
export function markdown(
  outcomes: readonly Outcome[],
  { date, cpu, cores, kernel, commit, versions }: Machine,
): string {
  const parts = outcomes.map((outcome) => {
    const { name, title } = outcome.scenario
    return `## ${name}: ${title}\n\n${tableOf(figures(outcome))}\n${tableOf(claims(outcome))}`
  })
  const where = `${date}, commit ${commit}, ${cores} cores of ${cpu}, Linux ${kernel}, Node ${versions['node']}, wrk ${versions['wrk']}.`
  const how =
    'Made by `node bench/openai.ts --out FILE`, which `--help` explains. Medians of the rounds; a ratio is of two turns of one round.'
  return `# The dialect of OpenAI's API beside its peers\n\n${where} ${how}\n\n${parts.join('\n')}`
}

function tableOf(rows: readonly Row[]): string {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  if (columns.length === 0) return ''
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |\n`
  const body = rows.map((row) => line(columns.map((column) => row[column] ?? '')))
  return `${line(columns)}${line(columns.map(() => '---'))}${body.join('')}`
}
