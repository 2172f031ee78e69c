/**
 * `infergate bench`: a load test that resembles real traffic, for every dialect that the gateway speaks. Here are its options and its
 * run; the load is made by `src/load-test`.
 */
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import { type Ratio, ratios } from '../load-test/compare.ts'
import { ENDPOINTS, LOAD_PROTOCOLS } from '../load-test/dialects/dialect.ts'
import { parseInput, type RowInput } from '../load-test/dialects/input.ts'
import { LoadTest, type LoadTestResult, plannedMs, type Seen } from '../load-test/load-test.ts'
import { type Profile, ProfileError, parseProfile } from '../load-test/profile.ts'
import { brokenPromises, parseSlo, SloError, type SloPromise } from '../load-test/slo.ts'
import { caveats, type LoadSummary, summarise } from '../load-test/summary.ts'
import { durationMs, share } from '../load-test/units.ts'
import { type BenchFlags, planBench } from './bench-plan.ts'
import { createProgress } from './bench-progress.ts'
import { ratioLines, summaryLines } from './bench-text.ts'
import { UserError } from './user-error.ts'

interface Flags extends BenchFlags {
  readonly slo?: readonly SloPromise[]
  readonly json?: string
  readonly progress?: boolean
}

const HELP = `
What is asked: each key is a batch of its own; key 1 is asked for most often, by Zipf's law. What a row is, the server's metadata
says, or --input, or it is a vector of --features numbers. With --body the file is sent, and "{{key}}" in it becomes the key.

How it is asked: as fast as --connections callers get answers (a closed loop), or at a --rate or --profile whatever comes back (an
open loop, in which latency counts from when a call was due).

Secrets are read from --headers-file, --bearer-file or INFERGATE_BENCH_TOKEN, never from the command line.

Examples:
  $ infergate bench                                          1000 digits against the embedded model
  $ infergate bench --keys 1 --connections 64                hits only
  $ infergate bench --rate 500 --keys 100000 --zipf 0.8      500 calls a second, whatever comes back
  $ infergate bench --profile step:20>200@30s --slo p95=200ms,errors=0.1%
  $ infergate bench --profile replay:predictions --speed 10  a prediction log, ten times as fast
  $ infergate bench http://gateway:8080 --compare http://triton:8000 --protocol oip-binary --model ranker --rows 64
  $ infergate bench grpc://gateway:8080 --protocol oip-grpc --model ranker
  $ infergate bench http://gateway:8080 --protocol openai --endpoint stream --connections 32

Exit codes: 0 fine; 1 a promise of --slo is broken, nine of ten calls failed, or the command is wrong; 130 a second Ctrl-C.`

export function benchCommand(): Command {
  const command = new Command('bench')
    .description('load-test a gateway or a model server: throughput, latency and what the cache did')
    .argument(
      '[url]',
      'the server; grpc:// and grpcs:// are taken as well',
      serverUrl,
      'http://127.0.0.1:8080',
    )
  for (const add of [addQuestions, addLoad, addTarget, addResults]) add(command)
  return command.addHelpText('after', HELP).action(bench)
}

function addQuestions(command: Command): void {
  command
    .addOption(new Option('--protocol <name>', 'the dialect').choices(LOAD_PROTOCOLS).default('tfserving'))
    .option('--model <name>', 'the model; default digits, or for openai the first that the server names')
    .option('--rows <n>', 'rows a call', upTo(65_536), 1)
    .option(
      '--overlap <share>',
      'of its rows, what a batch has in common with that of the next key',
      shareOf,
      1,
    )
    .option('--input <name:type:sizes>', 'an input of a row, such as image:FP32:8x8; may be repeated', inputs)
    .option('--features <n>', 'the size of what neither metadata nor --input tell', upTo(1_000_000), 64)
    .option('--keys <n>', 'how many different batches there are', upTo(10_000_000), 1000)
    .option('--zipf <s>', 'how uneven they are: 0 is all alike, 1.1 is typical', exponent, 1.1)
    .option('--seed <n>', 'the same seed draws the same keys', upTo(2 ** 32), 1)
    .addOption(
      new Option('--endpoint <name>', 'of openai: what is asked for').choices(ENDPOINTS).default('stream'),
    )
    .option('--words <n>', 'of openai: words of a prompt or text', upTo(100_000), 16)
    .option('--max-tokens <n>', 'of openai: the longest answer', upTo(1_000_000), 64)
    .option('--temperature <t>', 'of openai: 0 may be cached', exponent, 0)
    .option('--path <path>', "where to post to, instead of the dialect's own path", absolute)
    .option('--body <file>', 'the body to send; "{{key}}" in it varies with the key')
}

function addLoad(command: Command): void {
  command
    .option(
      '--connections <n>',
      'calls under way at a time; default 16, in an open loop at most 256',
      upTo(100_000),
    )
    .option('--duration <time>', 'how long, such as 30s or 5m; default 10s', duration)
    .option('--rate <n>', 'calls a second (open loop)', upTo(10_000_000))
    .option(
      '--profile <profile>',
      'a rate that changes, or replay:PATH; "--profile help" tells the forms',
      profile,
    )
    .addOption(
      new Option('--spacing <kind>', 'calls of an open loop come evenly, or at random')
        .choices(['even', 'poisson'])
        .default('even'),
    )
    .option('--speed <x>', 'of a replay: 2 is twice as fast', factor, 1)
    .option('--warm-up <time>', 'before the test, not counted', pause, 1000)
    .option('--timeout <time>', 'for the head of an answer, and the longest silence in it', duration, 10_000)
    .option('--threads <n>', 'load generators; default 2, where there are two processors', upTo(64))
    .addOption(
      new Option('--driver <name>', 'who makes the calls of a closed loop')
        .choices(['own', 'autocannon'])
        .default('own'),
    )
}

function addTarget(command: Command): void {
  command
    .option('--http2', 'over HTTP/2 what would go over HTTP/1.1')
    .option('--streams <n>', 'calls at a time on one connection of HTTP/2', upTo(1000), 10)
    .option('-H, --header <field>', 'a header field, "name: value"; may be repeated', collected, [])
    .option('--headers-file <file>', 'header fields, one a line, such as credentials')
    .option(
      '--bearer-file <file>',
      'a file with the token for the calls; else INFERGATE_BENCH_TOKEN, else none',
    )
    .option(
      '--ca <file>',
      'for https: PEM file of the authorities to trust, instead of those that Node trusts',
    )
    .option('--client-cert <file>', 'for https: PEM file of a certificate to show; needs --client-key')
    .option('--client-key <file>', 'for https: PEM file of its private key')
    .option(
      '--compare <url>',
      'a second server, such as the one behind the gateway, asked in turn',
      serverUrl,
    )
    .option('--rounds <n>', 'of --compare: how often each has its turn', upTo(1000), 5)
}

function addResults(command: Command): void {
  command
    .option('--slo <promises>', 'such as p95=200ms,errors=0.1%; exit code 1 where one is broken', slo)
    .option('--json <file>', 'write the numbers there as well')
    .option('--progress', 'tell each second how far it is where standard error is no terminal, too')
}

async function bench(url: string, flags: Flags): Promise<void> {
  const { test, notes } = await planBench(url, flags, availableParallelism())
  for (const note of notes) process.stderr.write(`infergate: ${note}\n`)
  const load = new LoadTest(test)
  const sides = test.urls.length
  const totalMs = sides * (plannedMs(test.plan) + test.warmUpMs)
  const progress = createProgress({ totalMs, isForced: flags.progress === true }, process.stderr)
  const leave = onInterrupt(() => load.stop())
  const at = new Date()
  const result = await load
    .run((_, seconds) => progress.update(seconds))
    .finally(() => {
      progress.stop()
      leave()
    })
  const isOpen = test.plan.kind !== 'closed'
  const found = { at, urls: test.urls.map((one) => new URL(one).origin), result, isOpen }
  process.stdout.write(table(found))
  if (flags.json !== undefined)
    writeResult('--json', flags.json, `${JSON.stringify(asJson(found), null, 2)}\n`)
  judge(found, flags.slo ?? [])
}

interface Found {
  readonly at: Date
  /** Without what may be a password. */
  readonly urls: readonly string[]
  readonly result: LoadTestResult
  readonly isOpen: boolean
}

/** The first Ctrl-C ends the test, a second one the process. Returns what stops to listen. */
function onInterrupt(stop: () => void): () => void {
  let isStopping = false
  const listener = () => {
    if (isStopping) process.exit(130)
    isStopping = true
    stop()
  }
  process.on('SIGINT', listener)
  return () => process.off('SIGINT', listener)
}

function table({ urls, result, isOpen }: Found): string {
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
  readonly sides: readonly (LoadSummary & { readonly url: string; readonly notes: readonly string[] })[]
  readonly ratios: readonly Ratio[]
}

function asJson({ at, urls, result, isOpen }: Found): BenchJson {
  const sides = result.sides.map((seen, i) => {
    const summary = summarise(seen)
    return { url: urls[i] ?? '', ...summary, notes: caveats(summary, isOpen) }
  })
  return { at: at.toISOString(), node: process.version, sides, ratios: ratios(result.rounds) }
}

/** Share of failures above which the result is meaningless. */
const MOSTLY = 0.9

/** Throws a UserError, with which the command ends with 1, where a promise is broken or nearly all calls failed. Promises are about the first server. */
function judge({ result, urls }: Found, promises: readonly SloPromise[]): void {
  const broken = brokenPromises(promises, result.sides[0] as Seen)
  if (broken.length > 0) throw new UserError(`the service level is broken:\n  ${broken.join('\n  ')}`)
  for (const [i, seen] of result.sides.entries()) {
    const { calls, errorShare, statuses, faults } = summarise(seen)
    if (calls === 0)
      throw new UserError(`no answer from ${urls[i]}: is the gateway running? (infergate serve)`)
    if (errorShare < MOSTLY) continue
    const [[most = ''] = []] = Object.entries({ ...statuses, ...faults }).sort(([, a], [, b]) => b - a)
    const hint = most === '404' ? ': is --model right, or --path?' : ''
    throw new UserError(
      `${Math.round(errorShare * calls)} of ${calls} calls to ${urls[i]} failed, most with ${most}${hint}`,
    )
  }
}

function writeResult(option: string, file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (error) {
    throw new UserError(`cannot write ${option} ${file}: ${(error as Error).message}`)
  }
}

/** Refuses numbers above `max`, for which memory or a timer would not suffice. */
function upTo(max: number): (value: string) => number {
  return (value) => {
    const number = Number(value)
    if (Number.isInteger(number) && number >= 1 && number <= max) return number
    throw new InvalidArgumentError(`Write a whole number from 1 to ${max}.`)
  }
}

function serverUrl(value: string): string {
  const url = URL.parse(value)
  if (url && /^(?:http|grpc)s?:$/.test(url.protocol) && url.search === '' && url.hash === '') return value
  throw new InvalidArgumentError('Write a URL such as http://127.0.0.1:8080.')
}

function absolute(value: string): string {
  if (/^\/[\x21-\x7e]*$/.test(value)) return value
  throw new InvalidArgumentError('Write a path such as /v1/models/digits:predict.')
}

function exponent(value: string): number {
  const number = Number(value)
  if (value.trim() !== '' && number >= 0 && number <= 5) return number
  throw new InvalidArgumentError('Write a number from 0 to 5.')
}

function factor(value: string): number {
  const number = Number(value)
  if (number > 0 && number <= 1000) return number
  throw new InvalidArgumentError('Write a number above 0, up to 1000.')
}

function shareOf(value: string): number {
  const part = share(value)
  if (part !== undefined) return part
  throw new InvalidArgumentError('Write a share such as 0.5 or 50%.')
}

/** Seconds, where no unit is given. */
function pause(value: string): number {
  const ms = durationMs(/^[\d.]+$/.test(value) ? `${value}s` : value)
  if (ms !== undefined && ms <= 24 * 3_600_000) return ms
  throw new InvalidArgumentError('Write a duration of at most a day, such as 500ms, 30s or 5m.')
}

function duration(value: string): number {
  const ms = pause(value)
  if (ms > 0) return ms
  throw new InvalidArgumentError('Write a duration above 0, such as 500ms, 30s or 5m.')
}

function inputs(value: string, before: readonly RowInput[] = []): readonly RowInput[] {
  const input = parseInput(value)
  if (input) return [...before, input]
  throw new InvalidArgumentError(
    'Write name:DATATYPE:SIZES, such as image:FP32:8x8, or id:INT64 for one number.',
  )
}

const collected = (value: string, before: readonly string[]): readonly string[] => [...before, value]

function profile(value: string): Profile {
  return parsed(() => parseProfile(value))
}

function slo(value: string): readonly SloPromise[] {
  return parsed(() => parseSlo(value))
}

function parsed<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (error instanceof ProfileError || error instanceof SloError)
      throw new InvalidArgumentError(error.message)
    throw error
  }
}
