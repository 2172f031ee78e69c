/** A strict reader of OpenMetrics 1.0 text: throws where a line is not what the standard says. */

export interface ReadSample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
  readonly exemplar?: {
    readonly labels: Readonly<Record<string, string>>
    readonly value: number
    readonly at: number
  }
}

export interface ReadFamily {
  readonly name: string
  readonly type: string
  readonly samples: ReadSample[]
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const LABELS = '\\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"(?:,(?=[a-zA-Z_])|(?=\\})))*)\\}'
const NUMBER = '(?:[+-]?(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:[eE][+-]?\\d+)?|[+-]Inf|NaN)'
const SAMPLE = new RegExp(
  `^(${NAME})(?:${LABELS})? (${NUMBER})(?: # ${LABELS} (${NUMBER})(?: (${NUMBER}))?)?$`,
)
const HELP = new RegExp(`^# HELP (${NAME}) ((?:[^"\\\\\\n]|\\\\[\\\\"n])*)$`)
const TYPE = new RegExp(
  `^# TYPE (${NAME}) (counter|gauge|histogram|summary|unknown|info|stateset|gaugehistogram)$`,
)
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total', '_created'],
  histogram: ['_bucket', '_count', '_sum', '_created'],
  summary: ['', '_count', '_sum', '_created'],
}

export function readOpenMetrics(text: string): ReadonlyMap<string, ReadFamily> {
  if (!text.endsWith('\n# EOF\n')) throw new Error('it does not end with # EOF')
  const families = new Map<string, ReadFamily>()
  let present: ReadFamily | undefined
  const seen = new Set<string>()
  for (const line of text.slice(0, -'# EOF\n'.length).split('\n').slice(0, -1)) {
    const wrong = (what: string) => new Error(`${what}: ${line}`)
    const helped = HELP.exec(line)
    if (helped) continue
    const typed = TYPE.exec(line)
    if (typed) {
      const [, name = '', type = ''] = typed
      if (families.has(name)) throw wrong('a family comes twice')
      if (/_(total|bucket|count|sum|created)$/.test(name) && type === 'counter')
        throw wrong('a suffix in a name')
      present = { name, type, samples: [] }
      families.set(name, present)
      continue
    }
    const found = SAMPLE.exec(line)
    if (!found || !present) throw wrong('no sample')
    const [, name = '', labels, value, exemplar, exemplary, at] = found
    const { name: family, type, samples } = present
    if (!(SUFFIXES[type] ?? ['']).some((suffix) => name === family + suffix))
      throw wrong(`no name of ${family}`)
    const series = `${name}{${labels ?? ''}}`
    if (seen.has(series)) throw wrong('a series comes twice')
    seen.add(series)
    if (exemplar !== undefined && !/_(bucket|total)$/.test(name)) throw wrong('an exemplar has no place here')
    samples.push({
      name,
      labels: labelsOf(labels),
      value: Number(value?.replace('Inf', 'Infinity')),
      ...(exemplar === undefined
        ? {}
        : { exemplar: { labels: labelsOf(exemplar), value: Number(exemplary), at: Number(at) } }),
    })
  }
  for (const { type, samples } of families.values()) if (type === 'histogram') checkBuckets(samples)
  return families
}

function checkBuckets(samples: readonly ReadSample[]): void {
  const buckets = samples.filter(({ name }) => name.endsWith('_bucket'))
  const bySeries = Map.groupBy(buckets, ({ labels }) => JSON.stringify({ ...labels, le: '' }))
  for (const [series, all] of bySeries) {
    let below = { bound: Number.NEGATIVE_INFINITY, count: 0 }
    for (const { labels, value, exemplar } of all) {
      const le = labels['le'] ?? ''
      if (le !== '+Inf' && !/[.e]/.test(le)) throw new Error(`${series}: the bound ${le} is no float`)
      const bound = Number(le.replace('Inf', 'Infinity'))
      if (bound <= below.bound || value < below.count) throw new Error(`${series}: not in order at ${le}`)
      if (exemplar) {
        if (exemplar.value > bound || exemplar.value <= below.bound)
          throw new Error(`${series}: an exemplar beside ${le}`)
        const runes = Object.entries(exemplar.labels).reduce(
          (sum, pair) => sum + Array.from(pair.join('')).length,
          0,
        )
        if (runes > 128) throw new Error(`${series}: an exemplar of ${runes} characters`)
      }
      below = { bound, count: value }
    }
    if (below.bound !== Number.POSITIVE_INFINITY) throw new Error(`${series}: no last bucket`)
  }
}

function labelsOf(text = ''): Record<string, string> {
  const found = [...text.matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g)]
  return Object.fromEntries(found.map(([, name = '', value = '']) => [name, value]))
}
