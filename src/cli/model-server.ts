/**
 * `infergate model-server`: serves ONNX models over V1 and V2, and can register itself with a gateway.
 *
 * Standard output has one JSON line, `{"event": "listening", "url": …}`; the log is JSON lines on standard error.
 * A parent that started it with an IPC channel gets `{type: 'listening', url}` and, once every model has been
 * loaded and run once, `{type: 'ready'}`.
 */

import { accessSync, constants } from 'node:fs'
import { hostname } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import { ownVersion } from '../app/version.ts'
import type { HostPort } from '../core/addresses.ts'
import { POOLINGS, type Pooling } from '../model/embedding/options.ts'
import { ModelError, reasonOf } from '../model/error.ts'
import type { ModelSource } from '../model/repository.ts'
import { type ModelService, type RegistrationTerms, serveModels } from '../model/serve.ts'
import { createLog } from '../obs/log.ts'
import { UserError } from './user-error.ts'

const LEASE_TTL_MS = 15_000
const DRAIN_MS = 30_000

interface Options {
  readonly model?: readonly ModelSource[]
  readonly embeddingModel?: readonly ModelSource[]
  readonly pooling?: Pooling
  readonly normalize?: boolean
  readonly maxTokens?: number
  readonly truncate?: boolean
  readonly dimensions?: readonly number[]
  readonly listen: HostPort
  readonly register?: string
  readonly pool?: string
  readonly id?: string
  readonly tokenFile?: string
  readonly advertise?: string
  readonly maxBatch: number
  readonly delay: number
  readonly parentWatch?: boolean
}

const HELP = `
A source is a .onnx file, or a directory of numeric versions, each with one .onnx file in it:

  models/ranker/1/model.onnx     served at /v1/models/ranker/versions/1
  models/ranker/2/model.onnx     ... and this one also without a version, for it is the highest

Files are looked at every second; a changed one is loaded before the old one is let go.

Examples:
  $ infergate model-server --model digits=models/digits.onnx --listen 127.0.0.1:8501
  $ curl -d @models/samples/digit-7.v1.json http://127.0.0.1:8501/v1/models/digits:predict
  $ curl -d @models/samples/digit-7.v2.json http://127.0.0.1:8501/v2/models/digits/infer

  $ infergate model-server --embedding-model sentences=models/sentences --listen 127.0.0.1:8503
  $ curl -H 'content-type: application/json' -d '{"model": "sentences", "input": "sort a list"}' http://127.0.0.1:8503/v1/embeddings

  $ infergate model-server --model digits=models/digits.onnx --register http://127.0.0.1:9090 --pool digits
      joins the pool when the models are loaded, renews every five seconds, drains and leaves on SIGTERM

Exit codes: 0 stopped as asked; 1 a mistake in the command, or a successor registered under the same id; 2 a fault.`

export function modelServerCommand(): Command {
  return new Command('model-server')
    .description(
      'serve ONNX models over the V1 (TensorFlow Serving), V2 (Open Inference) and, of texts, OpenAI’s protocols',
    )
    .option('--model <name=source>', 'a model to serve; may be given more than once', readModel)
    .option(
      '--embedding-model <name=source>',
      'a sentence encoder to serve, with its tokenizer.json beside it; may be given more than once',
      readModel,
    )
    .addOption(
      new Option(
        '--pooling <how>',
        "how the vectors of an encoder's tokens become one (default: as its files say)",
      ).choices(POOLINGS),
    )
    .option('--normalize', 'bring the vectors of encoders to length 1 (default: as their files say)')
    .option('--no-normalize', 'leave them as they are')
    .option('--max-tokens <count>', 'the most tokens of a text (default: as the files say)', readCount)
    .option('--truncate', 'cut longer texts (default: as the files say)')
    .option('--no-truncate', 'refuse longer texts')
    .option('--dimensions <counts>', 'shorter vectors that may be asked for, as in 64,128', readCounts)
    .addOption(
      new Option('--listen <host:port>', 'where to listen; port 0 takes a free one')
        .argParser(readAddress)
        .default({ host: '127.0.0.1', port: 0 }, '127.0.0.1:0'),
    )
    .option('--register <url>', "a gateway's admin API to register with", readUrl)
    .option('--pool <name>', 'the pool to join; needed with --register')
    .option(
      '--id <id>',
      'the name in the pool; a restart under the same id supersedes (default: host name and port)',
    )
    .option('--token-file <file>', 'a file with the token for the admin API (default: INFERGATE_TOKEN)')
    .option('--advertise <url>', 'where the gateway reaches this server (default: where it listens)', readUrl)
    .option('--max-batch <rows>', 'the most rows waiting calls are joined to; 1 joins none', readCount, 128)
    .option(
      '--delay <ms>',
      'wait this long before every run, without work: for load experiments',
      readDelay,
      0,
    )
    .option(
      '--parent-watch',
      'stop when the parent goes: its IPC channel closes, or else standard input ends',
      false,
    )
    .addHelpText('after', HELP)
    .action(run)
}

function readModel(value: string, before: readonly ModelSource[] = []): readonly ModelSource[] {
  const [, name, source] = /^([^=/:]+)=(.+)$/.exec(value) ?? []
  if (!name || !source)
    throw new InvalidArgumentError('Write NAME=FILE.onnx, without "/" or ":" in the name.')
  return [...before, { name, source }]
}

function readCounts(value: string): readonly number[] {
  return value.split(',').map(readCount)
}

function readAddress(value: string): HostPort {
  const [, bracketed, unbracketed, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(value) ?? []
  const host = bracketed ?? unbracketed
  if (!host || Number(port) > 65_535) throw new InvalidArgumentError('Write HOST:PORT, as in 127.0.0.1:8501.')
  return { host, port: Number(port) }
}

function readUrl(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username) {
    throw new InvalidArgumentError('Write a URL like http://127.0.0.1:9090.')
  }
  return value.replace(/\/+$/, '')
}

function readCount(value: string): number {
  const count = Number(value)
  if (Number.isInteger(count) && count >= 1 && count <= 65_536) return count
  throw new InvalidArgumentError('Write a whole number from 1 to 65536.')
}

function readDelay(value: string): number {
  const delay = Number(value)
  if (value.trim() !== '' && delay >= 0 && delay <= 600_000) return delay
  throw new InvalidArgumentError('Write milliseconds, from 0 to 600000.')
}

/** True for errors that the user can fix: an address in use, an unreadable file. */
const isMistake = (error: unknown): boolean =>
  error instanceof ModelError || (error instanceof Error && 'syscall' in error)

/** Resolves when every model is ready; the process then runs until it is stopped. */
async function run(options: Options): Promise<void> {
  try {
    await serve(options)
  } catch (error) {
    throw isMistake(error) ? new UserError(reasonOf(error), { cause: error }) : error
  }
}

async function serve(options: Options): Promise<void> {
  const { listen, maxBatch, delay: delayMs } = options
  const models = modelsOf(options)
  const register = registrationOf(options)
  const log = createLog({ level: 'info', file: process.stderr.fd })
  const running: { service?: ModelService; isStopping?: boolean } = {}
  const stop = async (why: string, exitCode?: number): Promise<void> => {
    if (running.isStopping) return
    running.isStopping = true
    log.info('model.stopping', { why })
    await running.service?.stop()
    await log.close()
    process.exit(exitCode)
  }
  process.on('SIGTERM', () => void stop('SIGTERM'))
  process.on('SIGINT', () => void stop('SIGINT'))
  if (options.parentWatch) watchParent(() => void stop('the parent has gone'))

  const service = await serveModels({
    ...listen,
    models,
    maxBatch,
    delayMs,
    drainMs: DRAIN_MS,
    version: ownVersion(),
    ...(register ? { register } : {}),
    log,
    onListening: (url) => {
      process.stdout.write(`${JSON.stringify({ event: 'listening', url })}\n`)
      process.send?.({ type: 'listening', url })
    },
    onReady: () => {
      log.info('model.ready', { models: models.map(({ name }) => name) })
      process.send?.({ type: 'ready' })
    },
    onFenced: () => void stop('fenced', 1),
  })
  running.service = service
  await service.ready.catch(async (error: unknown) => {
    // Everything is closed, so that the process ends once the message was printed.
    await service.stop()
    throw error
  })
}

/** Throws a 400 where there is none. */
function modelsOf({ model = [], embeddingModel = [], ...options }: Options): readonly ModelSource[] {
  if (model.length + embeddingModel.length === 0)
    throw new ModelError(
      400,
      'nothing to serve: give --model NAME=FILE.onnx or --embedding-model NAME=FOLDER',
    )
  const { pooling, normalize, maxTokens, truncate, dimensions } = options
  const embedding = {
    ...(pooling === undefined ? {} : { pooling }),
    ...(normalize === undefined ? {} : { normalize }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(truncate === undefined ? {} : { truncate }),
    ...(dimensions === undefined ? {} : { dimensions }),
  }
  return [...model, ...embeddingModel.map((each) => ({ ...each, embedding }))]
}

/** Undefined without --register. Throws a 400 for options that do not go together. */
function registrationOf(options: Options): ((url: string) => RegistrationTerms) | undefined {
  const { register: adminUrl, pool, tokenFile, advertise, listen } = options
  if (adminUrl === undefined) {
    const stray = (['pool', 'id', 'tokenFile', 'advertise'] as const).find(
      (name) => options[name] !== undefined,
    )
    if (!stray) return undefined
    const flag = stray.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    throw new ModelError(400, `--${flag} says nothing without --register URL`)
  }
  if (pool === undefined) throw new ModelError(400, '--register needs --pool NAME')
  if (advertise === undefined && /^(0\.0\.0\.0|::)$/.test(listen.host)) {
    throw new ModelError(400, `${listen.host} is no address to be reached at: give --advertise URL`)
  }
  if (tokenFile !== undefined) accessSync(tokenFile, constants.R_OK)
  const token = process.env['INFERGATE_TOKEN']
  return (url) => ({
    adminUrl,
    pool,
    id: options.id ?? `${hostname()}-${new URL(url).port}`,
    epoch: Math.round(performance.timeOrigin),
    ttlMs: LEASE_TTL_MS,
    ...(advertise === undefined ? {} : { url: advertise }),
    ...(tokenFile === undefined ? {} : { tokenFile }),
    ...(token === undefined ? {} : { token }),
  })
}

/**
 * Detects that the parent was killed, by the end of stdin, which the parent held open. Does not keep the process alive.
 */
function watchParent(onGone: () => void): void {
  if (process.connected) {
    process.on('disconnect', onGone)
    process.channel?.unref()
    return
  }
  const stdin: { unref?: () => unknown } = process.stdin
  process.stdin.on('end', onGone).on('close', onGone).on('error', onGone).resume()
  // A file has none.
  stdin.unref?.()
}
