/** Promises of a service level, as a command line has them, and which of them a load test has broken. */
import type { LatencyHistogram } from '../lib/latency-histogram.ts'
import type { Seen } from './load-test.ts'
import { fellShort, type LoadSummary, summarise } from './summary.ts'
import { durationMs, formatNumber, formatShare, formatUs, positive, share } from './units.ts'

/** What a promise is about. */
interface Measured {
  readonly seen: Seen
  readonly summary: LoadSummary
}

/** What is wrong, as a sentence; undefined: the promise was kept. */
type Check = (measured: Measured) => string | undefined

/** One promise, such as `p95=200ms`. */
export interface SloPromise {
  readonly text: string
  readonly check: Check
}

/** The text is no list of promises; the message says what to write. */
export class SloError extends Error {}

const FORMS = `Write a list such as p95=200ms,errors=0.1%,hit=0.5:
  pNN=TIME, mean=TIME, max=TIME        latency at most
  ttft.pNN=TIME, between.pNN=TIME      time to the first token, and between tokens, at most
  errors=SHARE                         errors of all calls, at most
  hit=SHARE, rows=SHARE                hits of all calls, and rows saved, at least
  rate=N, tokens=N                     calls and tokens a second, at least`

/** Throws SloError. */
export function parseSlo(text: string): readonly SloPromise[] {
  return text.split(',').map((part) => {
    const [name = '', value = '', ...more] = part.trim().split('=')
    const check = more.length === 0 ? parsePromise(name, value) : undefined
    if (!check) throw new SloError(`"${part}" is no promise. ${FORMS}`)
    return { text: part.trim(), check }
  })
}

/** Sentences: which promises were broken, or why none can be said to have been kept. */
export function brokenPromises(promises: readonly SloPromise[], seen: Seen): string[] {
  if (promises.length === 0) return []
  const summary = summarise(seen)
  if (summary.calls === 0) return ['no call has ended']
  const broken = promises.flatMap(({ text, check }) => {
    const sentence = check({ seen, summary })
    return sentence === undefined ? [] : [`${text}: ${sentence}`]
  })
  if (fellShort(summary.generator))
    broken.push('the generator was the limit: nothing was shown of the load that was asked for')
  return broken
}

function parsePromise(name: string, value: string): Check | undefined {
  const [, scope = '', quantity = ''] = /^(?:(ttft|between)[.])?([^.].*)$/.exec(name) ?? []
  const statistic = statisticOf(quantity)
  if (statistic) return latencyCheck(name, scope, statistic, durationMs(value))
  switch (name) {
    case 'errors':
      return checkOf(share(value), (most) => ({ summary: { errorShare: found } }) => {
        return found > most ? `${formatShare(found)} of the calls failed` : undefined
      })
    case 'hit':
      return atLeast('hits', share(value), ({ hitShare }) => hitShare, formatShare)
    case 'rows':
      return atLeast('rows saved', share(value), ({ savedRowShare }) => savedRowShare, formatShare)
    case 'rate':
      return atLeast('calls a second', positive(value), ({ callsPerSecond }) => callsPerSecond, formatNumber)
    case 'tokens':
      return atLeast(
        'tokens a second',
        positive(value),
        ({ written }) => written?.tokensPerSecond,
        formatNumber,
      )
    default:
      return undefined
  }
}

type Statistic = (histogram: LatencyHistogram) => number

/** `p95`, `p99.9`, `mean`, `max` */
function statisticOf(text: string): Statistic | undefined {
  if (text === 'mean') return ({ meanUs }) => meanUs
  if (text === 'max') return ({ maxUs }) => maxUs
  const [, digits] = /^p(\d{1,2}(?:[.]\d+)?)$/.exec(text) ?? []
  return digits === undefined ? undefined : (histogram) => histogram.quantile(Number(digits) / 100)
}

function latencyCheck(
  name: string,
  scope: string,
  statistic: Statistic,
  ms: number | undefined,
): Check | undefined {
  return checkOf(ms, (mostMs) => ({ seen: { total } }) => {
    const { firstToken, betweenTokens, latency } = total
    const histogram = scope === 'ttft' ? firstToken : scope === 'between' ? betweenTokens : latency
    if (histogram.total === 0) return `there was nothing to measure`
    const us = statistic(histogram)
    return us > mostMs * 1000 ? `${name} is ${formatUs(us)}` : undefined
  })
}

function atLeast(
  what: string,
  least: number | undefined,
  read: (summary: LoadSummary) => number | undefined,
  format: (value: number) => string,
): Check | undefined {
  return checkOf(least, (wanted) => ({ summary }) => {
    const found = read(summary)
    if (found === undefined) return `no answer said anything of ${what}`
    return found < wanted ? `${what}: ${format(found)}` : undefined
  })
}

/** Undefined where the value of the promise could not be read. */
function checkOf(value: number | undefined, make: (value: number) => Check): Check | undefined {
  return value === undefined ? undefined : make(value)
}
