/** A report as a page: how it was made, every claim with its verdict, then each scenario with its table and plot. */

import type { Provenance, Report, ScenarioReport, Score, SideReport, Verdict } from './report.ts'
import { DISTURBED, FIGURES, type FigureName } from './scenario.ts'

export function markdown({ scenarios }: Report): string {
  const runs = [...new Map(scenarios.map(({ made }) => [keyOf(made), made])).values()]
  const letter = ({ made }: ScenarioReport) =>
    String.fromCharCode(65 + runs.findIndex((run) => keyOf(run) === keyOf(made)))
  return `# The gateway beside its peers

Written by \`npm run bench\`; [how to read it](../../README.md). Medians over the rounds, in brackets the lowest and the highest
round. Ratios are of medians; in brackets those of the single rounds.

${runs.map((run, i) => provenance(String.fromCharCode(65 + i), run)).join('\n')}

## Claims

![measured against demanded](claims.svg)

| scenario | run | claim | measured | demanded | aim | verdict |
|---|---|---|---|---|---|---|
${scenarios.flatMap((one) => one.scores.map((each) => claim(one, each, letter(one)))).join('\n')}

${scenarios.map(section).join('\n')}`
}

const keyOf = ({ command, machine }: Provenance): string => `${command} ${machine.date}`

function provenance(letter: string, { command, machine }: Provenance): string {
  const versions = Object.entries(machine.versions)
    .filter(([, version]) => version !== '')
    .map(([name, version]) => `${name} ${version}`)
  return `- **${letter}** ${machine.date.slice(0, 16).replace('T', ' ')}, commit ${machine.commit}: \`${command}\`.
  ${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, load average ${machine.loadAverage.toFixed(1)} at the start. ${versions.join(', ')}.`
}

const VERDICTS: Record<Verdict, string> = {
  aim: '**aim reached**',
  enough: 'reached',
  short: '**not reached**',
  invalid: '**not valid**',
  'not measured': 'not measured',
}

function claim({ title, name }: ScenarioReport, { goal, value, range, verdict }: Score, run: string): string {
  const { figure, how, side, against, demanded, aimed } = goal
  const { heading } = FIGURES[figure]
  const words = {
    times: `${heading}: ${side} ÷ ${against}`,
    more: `${heading}: ${side} − ${against}`,
    is: `${heading}: ${side}`,
  }
  const digits = how === 'is' ? FIGURES[figure].digits : how === 'times' ? 2 : 3
  const sign = FIGURES[figure].better === 'more' ? '≥' : '≤'
  const shown =
    value === undefined
      ? '–'
      : `${value.toFixed(digits)} (${range[0].toFixed(digits)} to ${range[1].toFixed(digits)})`
  return `| [${title}](#${name}) | ${run} | ${words[how]} | ${shown} | ${sign} ${demanded} | ${sign} ${aimed} | ${VERDICTS[verdict]} |`
}

function section(one: ScenarioReport): string {
  const { name, title, note, left, sides, rounds, seconds } = one
  const faults = sides.flatMap((side) => side.faults.map((fault) => `${side.name}, ${fault}`))
  const disturbed = sides.filter(({ medians }) => (medians.others ?? 0) > DISTURBED).map((side) => side.name)
  const lines = [
    note,
    left.length > 0 ? `Not measured: ${left.join('; ')}.` : '',
    disturbed.length > 0
      ? `Others were at work on the machine (more than ${DISTURBED * 100} % of it at the median): ${disturbed.join(', ')}.`
      : '',
    faults.length > 0 ? `**Not valid:** ${faults.join('; ')}.` : '',
  ].filter((line) => line !== '')
  return `## ${name}

${[`${title}. ${TIMED.has(one.figure) ? `${rounds} rounds of ${seconds} s.` : `Rounds: ${rounds}.`}`, ...lines].join('\n\n')}

${table(one)}

![${title}](${name}.svg)
`
}

// Of rounds that last as long as they are told to.
const TIMED: ReadonlySet<FigureName> = new Set(['perSecond', 'rowsPerSecond', 'p50Ms'])

function table({ figure, sides }: ScenarioReport): string {
  const names = Object.keys(FIGURES) as FigureName[]
  const columns = names.filter((name) => name !== figure && sides.some(({ medians }) => name in medians))
  const first = sides[0]?.medians[figure]
  const rows = sides.map((side) => row(side, { figure, columns, first }))
  return [
    `| server | ${FIGURES[figure].heading} | times the first | ${columns.map((name) => FIGURES[name].heading).join(' | ')} |`,
    `|---|---|---|${columns.map(() => '---|').join('')}`,
    ...rows,
  ].join('\n')
}

interface Columns {
  readonly figure: FigureName
  readonly columns: readonly FigureName[]
  readonly first: number | undefined
}

function row({ name, medians, range, faults }: SideReport, { figure, columns, first }: Columns): string {
  const show = (each: FigureName, value: number | undefined) =>
    value === undefined || Number.isNaN(value) ? '–' : value.toFixed(FIGURES[each].digits)
  const main = medians[figure] ?? Number.NaN
  const cells = columns.map((each) => show(each, medians[each]))
  const mark = faults.length > 0 ? ' (not valid)' : ''
  return `| ${name}${mark} | ${show(figure, main)} (${show(figure, range[0])} to ${show(figure, range[1])}) | ${(main / (first ?? Number.NaN)).toFixed(2)} | ${cells.join(' | ')} |`
}
