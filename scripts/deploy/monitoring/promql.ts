/** What a PromQL expression reads: metrics with the labels that it selects or groups by. Enough for the expressions of this project. */
import { FAMILIES, type FamilyName } from '../../../src/obs/families.ts'
import { createMetrics } from '../../../src/obs/metrics.ts'

/** Labels that Prometheus or a part of it adds. */
const ADDED = ['job', 'instance', 'namespace', 'pod', 'le', 'alertname', 'alertstate', 'severity']

const WORDS = /\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)/g
const SELECTOR = /([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{([^}]*)\})?/g
const OPERATORS = new Set([
  'and',
  'or',
  'unless',
  'bool',
  'offset',
  'by',
  'on',
  'without',
  'ignoring',
  'group_left',
  'group_right',
])

/** The names and labels that there are. */
export interface Known {
  /** The labels of each metric. */
  readonly metrics: ReadonlyMap<string, readonly string[]>
}

/** The gateway's own metrics, those of its process, and `recorded` ones, which may have any label. */
export async function knownMetrics(recorded: readonly string[]): Promise<Known> {
  const metrics = new Map<string, readonly string[]>()
  const every = new Set<string>()
  for (const [name, [type, text]] of Object.entries(FAMILIES)) {
    const labels = text.split(' ').filter(Boolean)
    for (const label of labels) every.add(label)
    const names =
      type === 'histogram' ? ['_bucket', '_sum', '_count'].map((part) => `${name}${part}`) : [name]
    for (const each of names) metrics.set(each, labels)
  }
  const { body } = await createMetrics().expose()
  for (const [, name = ''] of body.matchAll(/^# TYPE (infergate_(?:process|nodejs)_\S+)/gm))
    metrics.set(name, ['version', 'major', 'minor', 'patch', 'kind', 'type', 'space'])
  for (const name of recorded) metrics.set(name, [...every])
  for (const name of ['up', 'ALERTS']) metrics.set(name, [...every])
  return { metrics }
}

/** What an expression reads that there is not, as messages. */
export function unknownIn(expression: string, { metrics }: Known): string[] {
  const found: string[] = []
  const used = new Set<string>(ADDED)
  const bare = expression.replaceAll(WORDS, ' ').replaceAll(/\$\w+|\[[^\]]*\]/g, ' ')
  for (const [, name = '', selected = ''] of bare.matchAll(SELECTOR)) {
    const labels = metrics.get(name)
    if (!labels) {
      if (isMetric(name)) found.push(`there is no metric ${name}`)
      continue
    }
    for (const label of labels) used.add(label)
    for (const [, label = ''] of selected.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g))
      if (!labels.includes(label) && !ADDED.includes(label)) found.push(`${name} has no label ${label}`)
  }
  for (const [, list = ''] of expression.matchAll(WORDS))
    for (const label of list.split(',').map((each) => each.trim()))
      if (label !== '' && !label.startsWith('$') && !used.has(label))
        found.push(`no metric of it has the label ${label}: ${expression.trim().slice(0, 120)}`)
  return found
}

/** Functions have no underscore-prefixed family name, and recorded metrics have colons. */
function isMetric(name: string): boolean {
  return !OPERATORS.has(name) && (name.startsWith('infergate_') || name.includes(':'))
}

/** A page of all metrics of the gateway, each with a sample, for `promtool check metrics`. */
export function samplePage(): string {
  return Object.entries(FAMILIES)
    .map(([name, [type, text, help]]) => {
      const labels = text.split(' ').filter(Boolean)
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples(name as FamilyName, type, labels)}`
    })
    .join('\n')
    .concat('\n')
}

function samples(name: FamilyName, type: string, labels: readonly string[]): string {
  const pairs = labels.map((label) => `${label}="a"`)
  const of = (suffix: string, more: readonly string[] = []) =>
    `${name}${suffix}{${[...pairs, ...more].join(',')}} 1`
  return type === 'histogram' ? [of('_bucket', ['le="+Inf"']), of('_sum'), of('_count')].join('\n') : of('')
}
