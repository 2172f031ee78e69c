/** `infergate logs`: the lines of the access log for people, from files, a pipe or a running gateway. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Command, InvalidArgumentError } from 'commander'
import { type CallQuery, fits, STATUS } from '../control/calls/call-history.ts'
import {
  type AdminClient,
  type AdminClientOptions,
  AdminError,
  createAdminClient,
  reportingErrors,
  withAdminOptions,
} from './admin-client.ts'
import { readCalls } from './answers.ts'
import { bytesOf, type CallLogLine, callsIn } from './log-lines.ts'
import { CALLS_HEAD, callRow } from './log-table.ts'

interface LogsOptions extends AdminClientOptions {
  readonly filter?: CallQuery
  readonly sort?: 'slowest'
  readonly limit: number
  readonly follow?: boolean
  readonly json?: boolean
}

const HELP = `
Without a file the last calls of a running gateway are asked for, "-" reads a pipe. Lines of other kinds are passed over.
Filters: route=NAME tenant=NAME model=NAME backend=ID status=503 status=5xx slower=200ms id=REQUEST-OR-TRACE-ID
The column STAGE names the stage that took longest.

Examples:
  infergate logs --filter id=nightly-17               one call, of a running gateway
  infergate logs gateway.log --filter status=5xx --filter route=ranker
  infergate logs gateway.log --sort slowest --limit 10
  kubectl logs -f deploy/infergate | infergate logs - --filter slower=1s`

const MAX_LIMIT = 1000

/** The command, for the program to mount. */
export function logsCommand(): Command {
  return withAdminOptions(
    new Command('logs').argument('[file...]', 'log files; -: standard input; none: a gateway'),
  )
    .description('read the access log: filter, sort, follow')
    .option('--filter <name=value>', 'only such calls; may be given several times', filtered)
    .option('--sort <order>', 'slowest: the slowest first', (order: string) => {
      if (order !== 'slowest') throw new InvalidArgumentError('expected slowest')
      return order
    })
    .option('--limit <calls>', 'of a gateway, and of the slowest: so many at most', limitOf, 100)
    .option('--follow', 'go on with calls as they happen')
    .option('--json', 'the lines as they are, for programs')
    .addHelpText('after', HELP)
    .action((files: string[], options: LogsOptions) => reportingErrors(() => show(files, options)))
}

async function show(files: readonly string[], options: LogsOptions): Promise<void> {
  const { sort, follow, json, filter = {}, limit } = options
  if (sort && follow)
    throw new AdminError('--sort needs all calls, and --follow has no end: give one of them')
  const calls =
    files.length > 0 ? ofFiles(files, follow === true) : ofGateway(await createAdminClient(options), options)
  if (!json) print(CALLS_HEAD)
  const out = (call: CallLogLine) => print(json ? inJson(call) : callRow(call))
  const slowest: CallLogLine[] = []
  for await (const call of calls) {
    if (!fits(call, filter)) continue
    if (!sort) {
      out(call)
      continue
    }
    slowest.push(call)
    if (slowest.length >= 2 * limit) keepSlowest(slowest, limit)
  }
  keepSlowest(slowest, limit)
  for (const call of slowest) out(call)
}

/** The same text to a program, with nothing in it that a terminal would obey. JSON escapes the controls below U+0020 itself. */
function inJson(call: CallLogLine): string {
  return JSON.stringify(call).replace(/[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu, (text) =>
    Array.from({ length: text.length }, (_, i) => escaped(text.charCodeAt(i))).join(''),
  )
}

const escaped = (unit: number): string => `\\u${unit.toString(16).padStart(4, '0')}`

function keepSlowest(calls: CallLogLine[], limit: number): void {
  calls.sort((a, b) => b.ms - a.ms).splice(limit)
}

async function* ofFiles(files: readonly string[], follow: boolean): AsyncGenerator<CallLogLine> {
  if (follow && files.length > 1) throw new AdminError('--follow goes on with one file: give one')
  for (const file of files) {
    const bytes = file === '-' ? (process.stdin as AsyncIterable<Uint8Array>) : bytesOf(file, follow)
    try {
      yield* callsIn(bytes)
    } catch (error) {
      throw new AdminError(`cannot read ${file}: ${(error as Error).message}`)
    }
  }
}

const FOLLOW_MS = 1000
const NOTHING_KEPT =
  'the gateway has kept no call so far; it keeps some only where its settings have log.access (docs/guide/calls.md)'

/** Oldest first. */
async function* ofGateway(client: AdminClient, options: LogsOptions): AsyncGenerator<CallLogLine> {
  const target = `/api/v1/calls?${parameters(options).toString()}`
  let known: Set<string> | undefined
  do {
    const { calls } = await client.send('GET', target, readCalls)
    if (!known && calls.length === 0 && options.filter === undefined)
      process.stderr.write(`infergate: ${NOTHING_KEPT}\n`)
    const ids = calls.map(({ requestId, time }) => `${requestId} ${time}`)
    for (const [i, call] of [...calls.entries()].toReversed()) if (!known?.has(ids[i] as string)) yield call
    known = new Set(ids)
    if (options.follow) await sleep(FOLLOW_MS)
  } while (options.follow)
}

function parameters({ filter = {}, sort, limit }: LogsOptions): URLSearchParams {
  const { slower, ...texts } = filter
  const given = Object.entries(texts).filter((entry): entry is [string, string] => entry[1] !== undefined)
  const asked = new URLSearchParams([...given, ['limit', String(limit)]])
  if (slower !== undefined) asked.set('slower', `${slower}ms`)
  if (sort) asked.set('order', sort)
  return asked
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

const NAMES = ['route', 'tenant', 'model', 'backend', 'status', 'slower', 'id']
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }

function filtered(text: string, before: CallQuery = {}): CallQuery {
  const [, name = '', value = ''] = /^(\w+)=(.+)$/.exec(text) ?? []
  if (!NAMES.includes(name))
    throw new InvalidArgumentError(`expected one of ${NAMES.join(', ')}, as in route=ranker`)
  if (name === 'status' && !STATUS.test(value))
    throw new InvalidArgumentError('expected a status such as 503, or 5xx')
  if (name !== 'slower') return { ...before, [name]: value }
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(value) ?? []
  if (unit === '') throw new InvalidArgumentError('expected a duration, as in slower=200ms')
  return { ...before, slower: Number(number) * (UNITS[unit] as number) }
}

function limitOf(text: string): number {
  const limit = Number(text)
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit
  throw new InvalidArgumentError(`expected a whole number from 1 to ${MAX_LIMIT}`)
}
