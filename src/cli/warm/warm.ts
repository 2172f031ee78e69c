/** `infergate warm`: has calls asked again in a running gateway, from its sample or from prediction logs, and shows how far it is. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { parseRate } from '../../lib/rate.ts'
import {
  type AdminClient,
  type AdminClientOptions,
  AdminError,
  createAdminClient,
  reportingErrors,
  withAdminOptions,
} from '../admin-client.ts'
import { readWarmFeeding, readWarming, type WarmingRow } from '../answers.ts'
import { logFiles } from '../log-files.ts'
import { WarmPosition } from './position.ts'
import { type LoggedRequest, RankedLog } from './ranked-log.ts'

interface WarmOptions extends AdminClientOptions {
  readonly pool?: string
  readonly rate: string
  readonly limit?: string
  readonly model?: string
  readonly state?: string
  readonly json?: boolean
}

const HELP = `
Without files the calls are those of the sample that the gateway keeps of the route ("warm" in the YAML). A file is a prediction
log with "format: jsonl", or any file of such lines; a folder stands for its .jsonl files. Lines of other routes are passed over.

What is there already is looked up and not asked. Calls that are asked most come first; of a sample those whose misses cost most.
Callers go first: nothing is asked while calls wait for the pool or its backends are nearly full. Ctrl-C stops it; what was stored
stays. Calls with credentials that go on to the backend cannot be asked again.

Examples:
  infergate warm ranker --pool v2                          the sample, in another pool of the split
  infergate warm ranker predictions/ --rate 200/s          a folder of logs, where each call would go
  infergate warm ranker predictions/ --state warm.state    and again: goes on where it was stopped`

const POLL_MS = 250
/** Calls in one request, and their bytes. */
const BATCH = { calls: 128, bytes: 2 << 20 }
/** Calls that may be under way when one is over. */
const AT_ONCE = 8

/** The command, for the program to mount. */
export function warmCommand(): Command {
  return withAdminOptions(new Command('warm'))
    .description('ask calls again so that their answers are there before callers ask')
    .argument('<route>', 'a route of the settings')
    .argument('[files...]', 'prediction logs or folders of them; left out: the sample of the gateway')
    .option('--pool <name>', 'one of the pools of the route; left out: where each call would go')
    .option('--rate <rate>', 'calls asked, at most', '50/s')
    .option('--limit <n>', 'calls looked at, at most')
    .option('--model <name>', 'only calls for this model, of a sample')
    .option('--state <file>', 'of files: where to note how far it is, and to go on from')
    .option('--json', 'the result as the admin API has it, for programs')
    .addHelpText('after', HELP)
    .action((route: string, files: readonly string[], options: WarmOptions) =>
      reportingErrors(() => warm(route, files, options)),
    )
}

async function warm(route: string, paths: readonly string[], options: WarmOptions): Promise<void> {
  const { pool, limit, model, state, json } = options
  const spec = {
    route,
    ...(pool !== undefined && { pool }),
    ...(limit !== undefined && { limit: countIn(limit) }),
    ...(model !== undefined && { model }),
    rate: perSecond(options.rate),
    source: paths.length > 0 ? 'requests' : 'sample',
  }
  const files = (await Promise.all(paths.map((path) => logFiles(path)))).flat()
  const position = state === undefined ? undefined : await WarmPosition.of(state, { route, pool, files })
  const log = files.length > 0 ? await RankedLog.read(files, route) : undefined
  const client = await createAdminClient(options)
  const begun = (await position?.read()) ?? 0
  const run = new WarmRun(client, await client.send('POST', '/api/v1/warm', readWarming, spec), {
    total: log && log.size - begun,
    done: (count) => position?.write(begun + Math.max(0, count - AT_ONCE)),
  })
  const ended = await run.follow(log && batchesOf(log.from(begun)))
  if (ended.state === 'done') await position?.write(log?.size ?? 0)
  process.stdout.write(json ? `${JSON.stringify(ended, null, 2)}\n` : `${ended.said}\n`)
  if (log && log.left > 0)
    process.stderr.write(
      `infergate: ${log.left} calls were not looked at: there are more than a million different ones\n`,
    )
  if (ended.state === 'failed' || ended.progress.failed > 0) process.exitCode = 1
}

function perSecond(text: string): number {
  try {
    const { count, perMs } = parseRate(text)
    return (count * 1_000) / perMs
  } catch (error) {
    throw new AdminError(`--rate "${text}": ${(error as Error).message}`)
  }
}

function countIn(text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text)
  throw new AdminError(`--limit "${text}" is no number of calls: write one from 1 to 9999999`)
}

async function* batchesOf(requests: AsyncIterable<LoggedRequest>): AsyncGenerator<LoggedRequest[]> {
  let batch: LoggedRequest[] = []
  let bytes = 0
  for await (const request of requests) {
    if (batch.length >= BATCH.calls || (batch.length > 0 && bytes + request.body.length > BATCH.bytes)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(request)
    bytes += request.body.length
  }
  yield batch
}

interface RunOptions {
  /** Of calls that are sent. */
  readonly total: number | undefined
  /** Called with how many calls are over. */
  readonly done: (count: number) => Promise<void> | undefined
}

/** One warming of the gateway, until it is over or Ctrl-C is pressed. */
class WarmRun {
  readonly #client: AdminClient
  readonly #options: RunOptions
  #warming: WarmingRow

  constructor(client: AdminClient, warming: WarmingRow, options: RunOptions) {
    this.#client = client
    this.#warming = warming
    this.#options = options
  }

  async follow(batches: AsyncIterable<readonly LoggedRequest[]> | undefined): Promise<WarmingRow> {
    const stop = () => {
      void this.#client.send('DELETE', this.#path, readWarming).catch(() => {})
    }
    process.once('SIGINT', stop)
    try {
      if (batches) await this.#send(batches)
      while (await this.#isRunning()) await sleep(POLL_MS)
      return this.#warming
    } finally {
      process.off('SIGINT', stop)
      if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
    }
  }

  get #path(): string {
    return `/api/v1/warm/${this.#warming.id}`
  }

  async #send(batches: AsyncIterable<readonly LoggedRequest[]>): Promise<void> {
    for await (const batch of batches) {
      let left = batch
      while (left.length > 0 && (await this.#isRunning())) {
        const fed = await this.#client.send('POST', `${this.#path}/requests`, readWarmFeeding, {
          requests: left,
        })
        left = left.slice(fed.accepted)
        if (left.length > 0) await sleep(POLL_MS)
      }
      if (left.length > 0) return
    }
    await this.#client.send('POST', `${this.#path}/requests`, readWarmFeeding, { requests: [], end: true })
  }

  async #isRunning(): Promise<boolean> {
    this.#warming = await this.#client.send('GET', this.#path, readWarming)
    const { state, progress } = this.#warming
    await this.#options.done(progress.done)
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${this.#line()}`)
    return state === 'running'
  }

  #line(): string {
    const {
      done,
      total = this.#options.total,
      stored,
      present,
      failed,
      rate,
      paused,
    } = this.#warming.progress
    const of = total === undefined ? '' : ` of ${total}`
    const now = paused === undefined ? `${Math.round(rate)}/s` : `waits: ${paused}`
    return `${done}${of} calls: ${stored} stored, ${present} there, ${failed} failed; ${now}`
  }
}
