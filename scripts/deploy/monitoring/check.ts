/**
 * The part of `npm run check` that looks at the alerts and the board: that promtool takes the rules, their tests and the metrics,
 * that all that is read there exists, that each alert is tested and has a runbook, and that copies are equal.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { parse } from 'yaml'
import { ensurePromtool } from '../../setup/promtool.mjs'
import { BOARD, CHART, ROOT, RULES } from '../places.ts'
import { boardText, ROWS } from './board.ts'
import { composeProblems } from './compose.ts'
import { knownMetrics, samplePage, unknownIn } from './promql.ts'

interface Rule {
  readonly record?: string
  readonly alert?: string
  readonly expr: string
  readonly for?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

const TESTS = join(ROOT, 'deploy', 'prometheus', 'rules.test.yaml')
const GUIDE = 'docs/guide/operations.md'
/** What the chart has as well, since it reads nothing from outside of it. */
const COPIES: readonly (readonly [from: string, to: string])[] = [
  [RULES, join(CHART, 'files', 'rules.yaml')],
  [BOARD, join(CHART, 'files', 'dashboard.json')],
]
const REWRITE = 'node scripts/deploy/monitoring/check.ts --write'

if (process.argv.includes('--write')) {
  mkdirSync(dirname(BOARD), { recursive: true })
  writeFileSync(BOARD, boardText())
  for (const [from, to] of COPIES) writeFileSync(to, readFileSync(from))
}

const rules = (parse(readFileSync(RULES, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
)
const recorded = rules.flatMap(({ record }) => record ?? [])
const known = await knownMetrics(recorded)
const problems = [
  ...(await promtool()),
  ...rules.flatMap((rule) => problemsOf(rule).map((problem) => `${rule.alert ?? rule.record}: ${problem}`)),
  ...board(),
  ...copies(),
  ...composeProblems(),
]
for (const problem of problems) process.stderr.write(`${problem}\n`)
if (problems.length > 0) process.exitCode = 1

function problemsOf({ alert, expr, annotations = {}, labels = {}, ...rule }: Rule): string[] {
  const unknown = unknownIn(expr, known)
  if (alert === undefined) return unknown
  const anchor = `${GUIDE}#${(annotations['runbook_url'] ?? '').split('#')[1]}`
  const headings = [...readFileSync(join(ROOT, GUIDE), 'utf8').matchAll(/^### (\w+)$/gm)]
  const anchors = headings.map(([, heading = '']) => `${GUIDE}#${heading.toLowerCase()}`)
  return [
    ...unknown,
    ...(rule.for === undefined ? ['it has no for'] : []),
    ...(['critical', 'warning'].includes(labels['severity'] ?? '')
      ? []
      : ['its severity is neither critical nor warning']),
    ...['summary', 'description'].filter((name) => !annotations[name]).map((name) => `it has no ${name}`),
    ...(annotations['runbook_url'] === anchor && anchors.includes(anchor)
      ? []
      : [`${annotations['runbook_url']} leads to no heading of ${GUIDE}`]),
    ...(readFileSync(TESTS, 'utf8').includes(`alertname="${alert}"`)
      ? []
      : [`${relative(ROOT, TESTS)} does not see it fire`]),
  ]
}

async function promtool(): Promise<string[]> {
  const program: string = await ensurePromtool(ROOT)
  const check = (args: readonly string[], input?: string) => {
    const { status, stdout, stderr } = spawnSync(program, args, { input, encoding: 'utf8', timeout: 120_000 })
    return status === 0 ? [] : [`promtool ${args.join(' ')}: ${stdout}${stderr}`]
  }
  return [
    ...check(['check', 'rules', RULES]),
    ...check(['test', 'rules', TESTS]),
    ...check(['check', 'config', join(dirname(RULES), 'prometheus.yaml')]),
    ...check(['check', 'metrics'], samplePage()),
  ]
}

function board(): string[] {
  const panels = ROWS.flatMap((row) => row.panels)
  const read = panels.flatMap(({ title, queries }) =>
    queries.flatMap(({ expr }) => unknownIn(expr, known).map((problem) => `board, ${title}: ${problem}`)),
  )
  const found = [...read, ...variables()]
  return readFileSync(BOARD, 'utf8') === boardText()
    ? found
    : [...found, `${relative(ROOT, BOARD)} is not what scripts/deploy/monitoring says: ${REWRITE}`]
}

/** What may be chosen above the board are values of labels that the metrics have. */
function variables(): string[] {
  const { templating } = JSON.parse(boardText()) as { templating: { list: { definition?: string }[] } }
  return templating.list.flatMap(({ definition }) => {
    const [, selector, label] = /^label_values\((.*), (\w+)\)$/.exec(definition ?? '') ?? []
    if (selector === undefined) return definition === undefined ? [] : [`board: ${definition} has no label`]
    return unknownIn(`sum by (${label}) (${selector})`, known).map(
      (problem) => `board, choice of ${label}: ${problem}`,
    )
  })
}

function copies(): string[] {
  return COPIES.filter(([from, to]) => readFileSync(from, 'utf8') !== readFileSync(to, 'utf8')).map(
    ([from, to]) => `${relative(ROOT, to)} is not ${relative(ROOT, from)}: ${REWRITE}`,
  )
}
