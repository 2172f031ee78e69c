/** Where results are kept: JSON to read by programs, a page to read, plots. What was measured before stays until it is measured anew. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { markdown } from './markdown.ts'
import { barChart } from './plot.ts'
import { attained, merged, type Report, type ScenarioReport } from './report.ts'
import { FIGURES, type Scenario } from './scenario.ts'

/** A run that is meant to be believed; anything less goes elsewhere. */
export const ENOUGH_ROUNDS = 5

export function keep(folder: string, order: readonly Scenario[], now: readonly ScenarioReport[]): Report {
  mkdirSync(folder, { recursive: true })
  const report = merged(order, readReport(folder), now)
  writeFileSync(join(folder, 'report.json'), `${JSON.stringify(report, undefined, 2)}\n`)
  writeFileSync(join(folder, 'report.md'), markdown(report))
  for (const one of now) writeFileSync(join(folder, `${one.name}.svg`), plot(one))
  writeFileSync(join(folder, 'claims.svg'), claimsPlot(report))
  return report
}

/** Every claim as a share of what is demanded: the line is there. */
function claimsPlot({ scenarios }: Report): string {
  const bars = scenarios.flatMap(({ name, figure, scores }) =>
    scores.flatMap((score) => {
      const value = attained(score)
      if (value === undefined) return []
      const { side, figure: claimed } = score.goal
      const variant = side.startsWith('infergate,') ? side.slice('infergate,'.length) : ''
      const label = claimed === figure ? `${name}${variant}` : `${name}, ${FIGURES[claimed].heading}`
      return [{ label, value, range: [value, value] as const, strong: value >= 1 }]
    }),
  )
  return barChart({ title: 'measured against demanded', unit: 'the line is what is demanded', mark: 1, bars })
}

function readReport(folder: string): Report {
  const file = join(folder, 'report.json')
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Report) : { scenarios: [] }
}

function plot({ title, figure, sides }: ScenarioReport): string {
  const bars = sides.map(({ name, medians, range }) => ({ label: name, value: medians[figure] ?? 0, range }))
  return barChart({ title, unit: FIGURES[figure].heading, bars })
}
