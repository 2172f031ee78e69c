/**
 * The metrics as OpenMetrics 1.0, made of Prometheus' text format: names of counters without `_total` in their descriptions, bounds
 * with a fraction, exemplars, and an end. Prometheus asks for this format first.
 */
import { EXEMPLARY, type Exemplar, type Exemplars } from './exemplars.ts'

export const OPEN_METRICS_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

/** Whether a client that says this in `Accept` is given OpenMetrics: it names it, and nothing of Prometheus' text before it. */
export function acceptsOpenMetrics(accept: string | undefined): boolean {
  const open = qualityOf(accept, 'application/openmetrics-text')
  return open > 0 && open >= qualityOf(accept, 'text/plain')
}

function qualityOf(accept: string | undefined, type: string): number {
  const qualities = (accept ?? '').split(',').map((range) => {
    const [name = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    const q = parameters.find((parameter) => parameter.startsWith('q='))
    return name === type ? Number(q?.slice(2) ?? 1) : 0
  })
  return Math.max(0, ...qualities.filter((q) => q >= 0 && q <= 1))
}

const DESCRIPTION = /^# (HELP|TYPE) (\S+) ?(.*)$/
const BUCKET = /^(\S+)_bucket\{(.*)\} (\S+)$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?/g

/** `text`: what prom-client writes. */
export function openMetricsOf(text: string, exemplars: Exemplars): string {
  const lines = text.split('\n').filter((line) => line !== '')
  const counters = new Set(lines.flatMap((line) => /^# TYPE (\S+)_total counter$/.exec(line)?.[1] ?? []))
  let below = { series: '', bound: 0 }
  const written = lines.map((line) => {
    const description = DESCRIPTION.exec(line)
    if (description) return described(description, counters)
    const bucket = BUCKET.exec(line)
    if (!bucket) return line.replace(/ Nan$/, ' NaN')
    const [, name = '', text = '', value = ''] = bucket
    const labels = labelsIn(text)
    const { le = '+Inf', ...rest } = labels
    const series = JSON.stringify([name, rest])
    const from = below.series === series ? below.bound : -1
    const to = le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le)
    below = { series, bound: to }
    const bound = le === '+Inf' || /[.e]/.test(le) ? le : `${le}.0`
    const { route = '', cache = '' } = rest
    const found =
      name === EXEMPLARY ? exemplars.in({ route: plain(route), cache: plain(cache) }, from, to) : undefined
    return `${name}_bucket{${text.replace(`le="${le}"`, `le="${bound}"`)}} ${value}${found ? exemplarOf(found) : ''}`
  })
  return `${written.join('\n')}\n# EOF\n`
}

function described([, kind, name = '', rest = '']: RegExpExecArray, counters: ReadonlySet<string>): string {
  const family = name.endsWith('_total') && counters.has(name.slice(0, -6)) ? name.slice(0, -6) : name
  if (kind === 'HELP') return `# HELP ${family} ${rest.replaceAll('"', '\\"')}`
  // A counter of another name would not be one here.
  return `# TYPE ${family} ${rest === 'counter' && family === name ? 'unknown' : rest}`
}

function exemplarOf({ traceId, seconds, at }: Exemplar): string {
  return ` # {trace_id="${traceId}"} ${seconds} ${at.toFixed(3)}`
}

/** As they are written, escaped. */
function labelsIn(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(LABEL)].map(([, name, value]) => [name, value]))
}

function plain(value: string): string {
  return value.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
}
