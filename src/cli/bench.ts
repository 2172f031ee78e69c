/**
 * `infergate bench`: a load test that resembles real traffic, for every dialect that the gateway speaks. Here are its options and its
 * run; the load is made by `src/load-test`.
 */
import { availableParallelism } from 'node:os'
import { Command, Option } from 'commander'
import { ENDPOINTS, LOAD_PROTOCOLS } from '../load-test/dialects/dialect.ts'
import { LoadTest, plannedMs } from '../load-test/load-test.ts'
import type { SloPromise } from '../load-test/slo.ts'
import { reportingErrors } from './admin-client.ts'
import { GatewaySampler } from './bench/gateway.ts'
import { type BenchFlags, madeWith, planBench } from './bench/plan.ts'
import { createProgress } from './bench/progress.ts'
import { judge, table, writeResults } from './bench/results.ts'
import * as values from './bench/values.ts'

interface Flags extends BenchFlags {
  readonly slo?: readonly SloPromise[]
  readonly json?: string
  readonly report?: string
  readonly admin?: string
  readonly tokenFile?: string
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
  $ infergate bench --profile 'step:20>200@30s' --slo p95=200ms,errors=0.1% --report report.html
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
      values.serverUrl,
      'http://127.0.0.1:8080',
    )
  for (const add of [addQuestions, addLoad, addTarget, addResults]) add(command)
  return command
    .addHelpText('after', HELP)
    .action((url: string, flags: Flags) => reportingErrors(() => bench(url, flags)))
}

function addQuestions(command: Command): void {
  command
    .addOption(new Option('--protocol <name>', 'the dialect').choices(LOAD_PROTOCOLS).default('tfserving'))
    .option('--model <name>', 'the model; default digits, or for openai the first that the server names')
    .option('--rows <n>', 'rows a call', values.upTo(65_536), 1)
    .option(
      '--overlap <share>',
      'of its rows, what a batch has in common with that of the next key',
      values.shareOf,
      1,
    )
    .option(
      '--input <name:type:sizes>',
      'an input of a row, such as image:FP32:8x8; may be repeated',
      values.inputs,
    )
    .option(
      '--features <n>',
      'the size of what neither metadata nor --input tell',
      values.upTo(1_000_000),
      64,
    )
    .option('--keys <n>', 'how many different batches there are', values.upTo(10_000_000), 1000)
    .option('--zipf <s>', 'how uneven they are: 0 is all alike, 1.1 is typical', values.exponent, 1.1)
    .option('--seed <n>', 'the same seed draws the same keys', values.upTo(2 ** 32), 1)
    .addOption(
      new Option('--endpoint <name>', 'of openai: what is asked for').choices(ENDPOINTS).default('stream'),
    )
    .option('--words <n>', 'of openai: words of a prompt or text', values.upTo(100_000), 16)
    .option('--max-tokens <n>', 'of openai: the longest answer', values.upTo(1_000_000), 64)
    .option('--temperature <t>', 'of openai: 0 may be cached', values.exponent, 0)
    .option('--path <path>', "where to post to, instead of the dialect's own path", values.absolute)
    .option('--body <file>', 'the body to send; "{{key}}" in it varies with the key')
}

function addLoad(command: Command): void {
  command
    .option(
      '--connections <n>',
      'calls under way at a time; default 16, in an open loop at most 256',
      values.upTo(100_000),
    )
    .option('--duration <time>', 'how long, such as 30s or 5m; default 10s', values.duration)
    .option('--rate <n>', 'calls a second (open loop)', values.upTo(10_000_000))
    .option(
      '--profile <profile>',
      'a rate that changes, or replay:PATH; "--profile help" tells the forms',
      values.profile,
    )
    .addOption(
      new Option('--spacing <kind>', 'calls of an open loop come evenly, or at random')
        .choices(['even', 'poisson'])
        .default('even'),
    )
    .option('--speed <x>', 'of a replay: 2 is twice as fast', values.factor, 1)
    .addOption(
      new Option('--warm-up <time>', 'before the test, not counted')
        .argParser(values.pause)
        .default(1000, '1s'),
    )
    .addOption(
      new Option('--timeout <time>', 'for the head of an answer, and the longest silence in it')
        .argParser(values.duration)
        .default(10_000, '10s'),
    )
    .option('--threads <n>', 'load generators; default 2, where there are two processors', values.upTo(64))
    .addOption(
      new Option('--driver <name>', 'who makes the calls of a closed loop')
        .choices(['own', 'autocannon'])
        .default('own'),
    )
}

function addTarget(command: Command): void {
  command
    .option('--http2', 'over HTTP/2 what would go over HTTP/1.1')
    .option('--streams <n>', 'calls at a time on one connection of HTTP/2', values.upTo(1000), 10)
    .option('-H, --header <field>', 'a header field, "name: value"; may be repeated', values.collected)
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
      values.serverUrl,
    )
    .option('--rounds <n>', 'of --compare: how often each has its turn', values.upTo(1000), 5)
}

function addResults(command: Command): void {
  command
    .option('--slo <promises>', 'such as p95=200ms,errors=0.1%; exit code 1 where one is broken', values.slo)
    .option('--json <file>', 'write the numbers there as well')
    .option('--report <file>', 'write a page with plots over time there, which needs nothing else')
    .option(
      '--admin <url>',
      "the gateway's admin listener: backends and queue over time, for --report and --json",
    )
    .option(
      '--token-file <file>',
      'file with the token for --admin; else the variable INFERGATE_TOKEN, else none',
    )
    .option('--progress', 'tell each second how far it is where standard error is no terminal, too')
}

async function bench(url: string, flags: Flags): Promise<void> {
  const { test, notes } = await planBench(url, flags, availableParallelism())
  const { admin } = flags
  const sampler = admin === undefined ? undefined : await GatewaySampler.create({ ...flags, admin })
  for (const note of notes) process.stderr.write(`infergate: ${note}\n`)
  const load = new LoadTest(test)
  const totalMs = test.urls.length * (plannedMs(test.plan) + test.warmUpMs)
  const progress = createProgress({ totalMs, isForced: flags.progress === true }, process.stderr)
  const leave = onInterrupt(() => load.stop())
  const at = new Date()
  const listener = {
    began: () => sampler?.begin(),
    progressed: (seconds: Parameters<typeof progress.update>[0]) => progress.update(seconds),
  }
  const result = await load.run(listener).finally(() => {
    progress.stop()
    leave()
    sampler?.stop()
  })
  const found = {
    at,
    urls: test.urls.map((one) => new URL(one).origin),
    result,
    isOpen: test.plan.kind !== 'closed',
    made: madeWith(test),
    gateway: sampler?.stop() ?? [],
    promises: flags.slo ?? [],
  }
  process.stdout.write(table(found))
  writeResults(found, flags)
  judge(found)
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
