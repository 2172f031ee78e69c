/**
 * The prediction logs of a process: keeps the thread that writes them, and hands it the batches of all data workers. The thread
 * runs from when a route has a log; one that ends is started again, and finishes what its predecessor had open.
 */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Settings, StoresSettings } from '../../config/schema.ts'
import { unpackPredictions } from '../../core/prediction.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ProcessLog } from '../../obs/log.ts'
import type { Metrics } from '../../obs/metrics.ts'
import type { LogSettings } from '../../prediction-log/writer.ts'
import { ThreadRpc } from '../workers/thread-rpc.ts'
import { logSettingsOf } from './log-settings.ts'
import type { FromWriter, ToWriter, WriterStart } from './messages.ts'

export interface PredictionLogParts {
  /** As in `WriterStart`; the data workers see it, too. */
  readonly queued: Int32Array
  readonly stores: StoresSettings
  readonly log: ProcessLog
  readonly metrics: Metrics
  readonly clock: Clock
  readonly random: () => number
}

const ENTRY = new URL(`./writer-thread${extname(import.meta.filename)}`, import.meta.url)
const BACKOFF = { baseMs: 100, maxMs: 10_000 }
/** A thread that ran for this long did not fail at the start. */
const STABLE_MS = 30_000
/** How much longer than its deadline the thread may take to say that it has closed. */
const GRACE_MS = 1_000
/** Recovering and closing files may take long on a busy disk. */
const FOLLOW_MS = 60_000

export class PredictionLog {
  readonly #parts: PredictionLogParts
  #logs: readonly LogSettings[] = []
  #thread: Worker | undefined
  #rpc: ThreadRpc<ToWriter, FromWriter> | undefined
  #startedAt = 0
  #failures = 0
  #isClosing = false
  #problems: readonly string[] = []
  #cancelRestart = () => {}

  constructor(parts: PredictionLogParts) {
    this.#parts = parts
    const { queued, metrics } = parts
    metrics.gauge('infergate_prediction_log_queue_bytes', () =>
      this.#rpc ? [{ labels: {}, value: Atomics.load(queued, 0) }] : [],
    )
  }

  /** What is wrong now, as messages for people. */
  get problems(): readonly string[] {
    return this.#problems.map((problem) => `prediction log: ${problem}`)
  }

  /** Takes over the logs of the settings. */
  follow(settings: Settings): void {
    this.#logs = logSettingsOf(settings)
    if (!this.#rpc && this.#logs.length > 0) this.#start()
    else this.#tell()
  }

  /** Takes a batch over, with its buffer. */
  take(batch: Uint8Array<ArrayBuffer>): void {
    const rpc = this.#rpc
    if (!rpc || rpc.isEnded) return this.#lose(batch)
    Atomics.add(this.#parts.queued, 0, batch.length)
    rpc.notify('write', batch, [batch.buffer])
  }

  /** Publishes everything, for at most so long. Never rejects. */
  async close(withinMs: number): Promise<void> {
    this.#isClosing = true
    this.#cancelRestart()
    const { log } = this.#parts
    await this.#rpc
      ?.call('close', withinMs, withinMs + GRACE_MS)
      .catch((error: unknown) => log.error('prediction-log.close', { error: String(error) }))
    await this.#thread?.terminate()
  }

  #start(): void {
    const { stores, queued, clock, log, metrics } = this.#parts
    const workerData: WriterStart = { stores, queued }
    const thread = new Worker(ENTRY, { workerData, name: 'prediction log' })
    const rpc = new ThreadRpc<ToWriter, FromWriter>(thread, clock)
    this.#thread = thread
    this.#rpc = rpc
    this.#startedAt = clock.now()
    let error: unknown
    thread.on('error', (cause) => {
      error = cause
    })
    thread.once('exit', (code) => {
      rpc.end(error instanceof Error ? error : new Error(`the prediction log's thread ended with ${code}`))
      this.#onExit(error ?? code)
    })
    rpc.handle({
      log: ({ level, event, fields }) => log[level](event, fields),
      troubled: (problems) => {
        this.#problems = problems
      },
      recorded: ({ route, outcome, records }) =>
        metrics.count('infergate_prediction_log_records_total', { route, outcome }, records),
      filed: ({ to, event }) => metrics.count('infergate_prediction_log_files_total', { to, event }),
    })
    this.#tell()
  }

  #tell(): void {
    const { log } = this.#parts
    this.#rpc
      ?.call('follow', this.#logs, FOLLOW_MS)
      .catch((error: unknown) => log.error('prediction-log.settings', { error: String(error) }))
  }

  #onExit(why: unknown): void {
    const { queued, clock, log, random } = this.#parts
    // What waited in the thread is lost with it.
    Atomics.store(queued, 0, 0)
    if (this.#isClosing) return
    if (clock.now() - this.#startedAt >= STABLE_MS) this.#failures = 0
    const restartMs = Math.round(backoffMs(this.#failures++, { ...BACKOFF, random }))
    this.#problems = ['predictions are lost: its thread ended, and is about to be started again']
    log.error('prediction-log.exit', { error: String(why), restartMs })
    this.#cancelRestart = clock.after(restartMs, () => this.#start())
  }

  #lose(batch: Uint8Array): void {
    for (const { head } of unpackPredictions(batch))
      this.#parts.metrics.count('infergate_prediction_log_records_total', {
        route: head.route,
        outcome: 'failed',
      })
  }
}
