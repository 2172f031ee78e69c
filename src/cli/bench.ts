/**
 * `infergate bench`: a load test that resembles real traffic: some inputs are far more frequent than others (Zipf),
 * calls are batches of rows, and the loop is closed or open. It uses autocannon.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Request, Result } from 'autocannon'
import { Command, InvalidArgumentError } from 'commander'
import { requirePackages } from '../lib/optional-packages.ts'
import { formatMs, Latencies } from './latencies.ts'
import { UserError } from './user-error.ts'
import { zipf } from './zipf.ts'

interface Options {
  readonly url: string
  readonly path: string
  readonly body?: string
  readonly keys: number
  readonly zipf: number
  readonly rows: number
  readonly features: number
  readonly connections: number
  readonly duration: number
  readonly rate?: number
  readonly seed: number
  readonly json?: string
}

const HELP = `
Every key is an input of its own; key 1 is asked for most often, by Zipf's law. Without --body the inputs are
rows of --features whole numbers from 0 to 16, which suits the digits model; with --body the file is sent, and
"{{key}}" in it becomes the number of the key.

Examples:
  $ infergate bench                                       1000 keys against the embedded digits model
  $ infergate bench --keys 1 --connections 64             hits only
  $ infergate bench --keys 100000 --zipf 0.8 --rate 500   an open loop: 500 calls a second, whatever comes back
  $ infergate bench --path /v1/models/ranker:predict --body ranker.json`

export function benchCommand(): Command {
  return new Command('bench')
    .description('load-test a gateway or a model server: throughput, latency and what the cache did')
    .option('--url <url>', 'where to send the calls', httpUrl, 'http://127.0.0.1:8080')
    .option('--path <path>', 'the path to post to', absolute, '/v1/models/digits:predict')
    .option('--body <file>', 'the body to send; "{{key}}" in it varies with the key')
    .option('--keys <n>', 'how many different inputs there are', upTo(10_000_000), 1000)
    .option('--zipf <s>', 'how uneven they are: 0 is all alike, 1.1 is typical', exponent, 1.1)
    .option('--rows <n>', 'rows a call', upTo(65_536), 1)
    .option('--features <n>', 'numbers a row', upTo(1_000_000), 64)
    .option('--connections <n>', 'calls under way at a time', upTo(10_000), 16)
    .option('--duration <seconds>', 'how long', upTo(86_400), 10)
    .option(
      '--rate <n>',
      'calls a second in all (open loop); otherwise as fast as answers come',
      upTo(1_000_000),
    )
    .option('--seed <n>', 'the same seed asks for the same keys in the same order', upTo(2 ** 32), 1)
    .option('--json <file>', 'write the numbers there as well')
    .addHelpText('after', HELP)
    .action(bench)
}

/** Some 30 MB of JSON. */
const MAX_NUMBERS = 10_000_000

interface CacheTally {
  readonly hit: number
  readonly miss: number
  readonly partial: number
  readonly other: number
}

async function bench(options: Options): Promise<void> {
  if (options.rows * options.features > MAX_NUMBERS)
    throw new UserError(`--rows times --features is more than ${MAX_NUMBERS} numbers a call`)
  const bodyOf = bodies(options)
  const draw = zipf({ keys: options.keys, exponent: options.zipf, seed: options.seed })
  const tally: Record<keyof CacheTally, number> = { hit: 0, miss: 0, partial: 0, other: 0 }
  const { rate = 0, connections } = options
  const latencies = new Latencies(rate > 0 ? (1000 * connections) / rate : 0)
  const seen = { calls: 0, failed: 0 }
  const stopProgress = progress(options.duration, seen)
  const result = await load(options, {
    body: () => bodyOf(draw()),
    cache: (headers) => void tally[kindOf(headers)]++,
    answered(status, ms) {
      latencies.add(ms)
      seen.calls++
      if (status >= 300) seen.failed++
    },
  })
  stopProgress()
  const summary = summarise(options, result, { cache: tally, latencies })
  process.stdout.write(table(summary))
  if (options.json !== undefined) write(options.json, summary)
  const verdict = failure(summary)
  if (verdict !== undefined) throw new UserError(verdict)
}

type Headers = Record<string, string | string[]> | undefined

interface Calls {
  readonly body: () => string
  readonly cache: (headers: Headers) => void
  readonly answered: (status: number, ms: number) => void
}

/** autocannon is imported here, so that other commands start faster. */
async function load({ url, path, connections, duration, rate }: Options, calls: Calls): Promise<Result> {
  requirePackages('bench')
  const { default: autocannon } = await import('autocannon')
  const request: Request = {
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json' },
    setupRequest: (made) => ({ ...made, body: calls.body() }),
    onResponse: (_status, _body, _context, headers) => calls.cache(headers as Headers),
  }
  const overallRate = rate === undefined ? {} : { overallRate: rate }
  return new Promise((resolve, reject) => {
    const running = autocannon(
      { url, connections, duration, ...overallRate, requests: [request] },
      (error: Error | null, result) => (error ? reject(error) : resolve(result)),
    )
    running.on('response', (_client, status, _bytes, ms) => calls.answered(status, ms))
  })
}

/** Share of failures above which the result is meaningless. */
const MOSTLY = 0.9

function failure({ options, calls, statuses, failed }: Summary): string | undefined {
  if (calls === 0) return `no answer from ${originOf(options)}: is the gateway running? (infergate serve)`
  const lost = failed.connection + failed.timeout
  if (failed.status + lost < MOSTLY * (calls + lost)) return undefined
  const most = Object.entries(statuses).toSorted(([, a], [, b]) => b - a)[0]?.[0] ?? ''
  if (lost > failed.status)
    return `${lost} of ${calls + lost} calls had no answer: is ${originOf(options)} overloaded?`
  const hint = most === '404' ? ': is --path right, and does the model exist?' : ''
  return `${failed.status} of ${calls} calls failed, most with ${most}${hint}`
}

function bodies({ body, rows, features, keys }: Options): (key: number) => string {
  const template = body === undefined ? undefined : readTemplate(body)
  const made = new Map<number, string>()
  return (key) => {
    const known = made.get(key)
    if (known !== undefined) return known
    const text =
      template?.replaceAll('{{key}}', String(key)) ??
      JSON.stringify({ instances: instances({ key, rows, features, keys }) })
    if (made.size < 10_000) made.set(key, text)
    return text
  }
}

/** Rows that overlap from key to key: call `key` holds rows `key`, `key + 1` …, so that batches share rows. */
function instances({
  key,
  rows,
  features,
  keys,
}: {
  key: number
  rows: number
  features: number
  keys: number
}): number[][] {
  return Array.from({ length: rows }, (_, row) => {
    let state = ((((key + row - 1) % keys) + 1) * 2654435761) >>> 0
    return Array.from({ length: features }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor((state / 2 ** 32) * 17)
    })
  })
}

function readTemplate(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UserError(
      `cannot read --body ${file}: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

function write(file: string, summary: Summary): void {
  const options = { ...summary.options, url: originOf(summary.options) }
  try {
    writeFileSync(file, `${JSON.stringify({ ...summary, options }, null, 2)}\n`)
  } catch (error) {
    throw new UserError(
      `cannot write --json ${file}: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

/** The URL without what may be a password. */
const originOf = ({ url }: Options): string => new URL(url).origin

function kindOf(headers: Headers): keyof CacheTally {
  const field = Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === 'cache-status')?.[1]
  const status = String(field ?? '')
  if (/; hit\b/.test(status)) return 'hit'
  if (/fwd=partial/.test(status)) return 'partial'
  return /fwd=miss/.test(status) ? 'miss' : 'other'
}

interface Summary {
  readonly at: string
  readonly node: string
  readonly options: Options
  readonly callsPerSecond: number
  readonly rowsPerSecond: number
  readonly latencyMs: Readonly<Record<'p50' | 'p90' | 'p99' | 'max', number>>
  readonly calls: number
  /** Answers by status. */
  readonly statuses: Readonly<Record<string, number>>
  readonly cache: CacheTally
  readonly failed: { readonly status: number; readonly connection: number; readonly timeout: number }
}

interface BenchCounts {
  readonly cache: CacheTally
  readonly latencies: Latencies
}

function summarise(options: Options, result: Result, { cache, latencies }: BenchCounts): Summary {
  const ms = (q: number) => Number(latencies.quantile(q).toPrecision(4))
  const statuses = Object.entries(result.statusCodeStats ?? {}).map(([status, { count = 0 }]) => [
    status,
    count,
  ])
  return {
    at: new Date().toISOString(),
    node: process.version,
    options,
    callsPerSecond: result.requests.average,
    rowsPerSecond: result.requests.average * options.rows,
    latencyMs: {
      p50: ms(0.5),
      p90: ms(0.9),
      p99: ms(0.99),
      max: Number(latencies.max.toPrecision(4)),
    },
    calls: result.requests.total,
    statuses: Object.fromEntries(statuses),
    cache,
    failed: { status: result.non2xx, connection: result.errors - result.timeouts, timeout: result.timeouts },
  }
}

function table(summary: Summary): string {
  const { options, callsPerSecond, rowsPerSecond, latencyMs, calls, statuses, cache, failed } = summary
  const answered = Math.max(1, cache.hit + cache.miss + cache.partial + cache.other)
  const share = (count: number) => `${((100 * count) / answered).toFixed(1)} %`
  const lines = [
    ['calls', `${calls}, ${callsPerSecond.toFixed(0)} a second (${rowsPerSecond.toFixed(0)} rows a second)`],
    [
      'latency',
      Object.entries(latencyMs)
        .map(([name, ms]) => `${name} ${formatMs(ms)}`)
        .join(', '),
    ],
    [
      'status',
      Object.entries(statuses)
        .map(([status, count]) => `${status}: ${count}`)
        .join(', ') || 'none',
    ],
    [
      'cache',
      `hit ${share(cache.hit)}, partial ${share(cache.partial)}, miss ${share(cache.miss)}, past it ${share(cache.other)}`,
    ],
    ['failed', `${failed.status} by status, ${failed.connection} by connection, ${failed.timeout} by time`],
    [
      'keys',
      `${options.keys}, Zipf ${options.zipf}, seed ${options.seed}, ${options.connections} connections`,
    ],
  ]
  return `${lines.map(([name, text]) => `${(name ?? '').padEnd(8)} ${text}`).join('\n')}\n`
}

/** A line on a terminal that is written over each second. */
function progress(seconds: number, seen: { readonly calls: number; readonly failed: number }): () => void {
  if (!process.stderr.isTTY) return () => {}
  let second = 0
  const tick = setInterval(() => {
    const failed = seen.failed > 0 ? `, ${seen.failed} failed` : ''
    process.stderr.write(`\r\x1b[K${++second} of ${seconds} s: ${seen.calls} calls${failed}`)
  }, 1000)
  return () => {
    clearInterval(tick)
    process.stderr.write('\r\x1b[K')
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

function httpUrl(value: string): string {
  const url = URL.parse(value)
  if (url && /^https?:$/.test(url.protocol)) return value
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
