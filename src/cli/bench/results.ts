/** What `infergate bench` makes of what it has seen: a table, JSON, a report and the exit code. */
import { writeFileSync } from 'node:fs'
import { type Ratio, ratios } from '../../load-test/compare.ts'
import type { LoadTestResult, Seen } from '../../load-test/load-test.ts'
import type { GatewaySample } from '../../load-test/report/charts.ts'
import { reportHtml } from '../../load-test/report/report.ts'
import { brokenPromises, type SloPromise } from '../../load-test/slo.ts'
import { caveats, type LoadSummary, summarise } from '../../load-test/summary.ts'
import { UserError } from '../user-error.ts'
import { ratioLines, summaryLines } from './text.ts'

export interface BenchFound {
  readonly at: Date
  /** Without what may be a password. */
  readonly urls: readonly string[]
  readonly result: LoadTestResult
  readonly isOpen: boolean
  /** How the test was made, name and value; nothing secret. */
  readonly made: readonly (readonly [name: string, value: string])[]
  /** What the gateway said of itself meanwhile. */
  readonly gateway: readonly GatewaySample[]
  readonly promises: readonly SloPromise[]
}

export function table({ urls, result, isOpen }: BenchFound): string {
  const isComparison = urls.length > 1
  const blocks = result.sides.map((seen, i) => {
    const summary = summarise(seen)
    const notes = caveats(summary, isOpen).map((sentence) => `note     ${sentence}`)
    return [...(isComparison ? [urls[i] ?? ''] : []), ...summaryLines(summary), ...notes].join('\n')
  })
  if (isComparison) blocks.push(ratioLines(ratios(result.rounds)).join('\n'))
  return `${blocks.join('\n\n')}\n`
}

interface BenchJson {
  readonly at: string
  readonly node: string
  readonly made: Readonly<Record<string, string>>
  readonly sides: readonly (LoadSummary & { readonly url: string; readonly notes: readonly string[] })[]
  readonly ratios: readonly Ratio[]
  readonly gateway: readonly GatewaySample[]
}

function asJson({ at, urls, result, isOpen, made, gateway }: BenchFound): BenchJson {
  const sides = result.sides.map((seen, i) => {
    const summary = summarise(seen)
    return { url: urls[i] ?? '', ...summary, notes: caveats(summary, isOpen) }
  })
  const common = { at: at.toISOString(), node: process.version, made: Object.fromEntries(made) }
  return { ...common, sides, ratios: ratios(result.rounds), gateway }
}

function asReport({ at, urls, result, isOpen, made, gateway, promises }: BenchFound): string {
  const sides = result.sides.map((seen, i) => {
    return { url: urls[i] ?? '', seen, notes: caveats(summarise(seen), isOpen) }
  })
  const broken = promises.length === 0 ? undefined : brokenPromises(promises, result.sides[0] as Seen)
  return reportHtml({ at, options: made, sides, ratios: ratios(result.rounds), broken, gateway })
}

/** Throws UserError. */
export function writeResults(
  found: BenchFound,
  files: { readonly json?: string; readonly report?: string },
): void {
  if (files.json !== undefined) write('--json', files.json, `${JSON.stringify(asJson(found), null, 2)}\n`)
  if (files.report !== undefined) write('--report', files.report, asReport(found))
}

/** Share of failures above which the result is meaningless. */
const MOSTLY = 0.9

/** Throws a UserError, with which the command ends with 1, where a promise is broken or nearly all calls failed. Promises are about the first server. */
export function judge({ result, urls, promises }: BenchFound): void {
  const broken = brokenPromises(promises, result.sides[0] as Seen)
  if (broken.length > 0) throw new UserError(`the service level is broken:\n  ${broken.join('\n  ')}`)
  for (const [i, seen] of result.sides.entries()) {
    const { calls, errorShare, statuses, faults } = summarise(seen)
    if (calls === 0)
      throw new UserError(`no answer from ${urls[i]}: is the gateway running? (infergate serve)`)
    if (errorShare < MOSTLY) continue
    const [[most] = ['']] = Object.entries({ ...statuses, ...faults }).sort(([, a], [, b]) => b - a)
    const hint = most === '404' ? ': is --model right, or --path?' : ''
    throw new UserError(
      `${Math.round(errorShare * calls)} of ${calls} calls to ${urls[i]} failed, most with ${most}${hint}`,
    )
  }
}

function write(option: string, file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (error) {
    throw new UserError(`cannot write ${option} ${file}: ${(error as Error).message}`)
  }
}
