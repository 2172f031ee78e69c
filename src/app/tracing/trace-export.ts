/**
 * Hands traced calls to the thread that sends them, which runs from the first on. One that ends is started again after a while. What
 * it has not said to be sent or lost is bounded, so a thread that hangs costs no memory.
 */
import { once } from 'node:events'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Settings } from '../../config/schema.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ProcessLog } from '../../obs/log.ts'
import type { Metrics } from '../../obs/metrics.ts'
import { ownVersion } from '../version.ts'
import type { FromExport, ToExport } from './messages.ts'

export interface TraceExportParts {
  readonly settings: Settings
  readonly log: Pick<ProcessLog, 'warn'>
  readonly metrics: Pick<Metrics, 'count'>
  readonly clock: Pick<Clock, 'now'>
}

const ENTRY = new URL(`./export-thread${extname(import.meta.filename)}`, import.meta.url)
const MAX_PENDING = 8192
const RESTART_MS = 10_000
const CLOSE_MS = 2_000

export class TraceExport {
  readonly #parts: TraceExportParts
  #thread: Worker | undefined
  #startedAt = -RESTART_MS
  #pending = 0

  constructor(parts: TraceExportParts) {
    this.#parts = parts
  }

  take(calls: readonly string[]): void {
    if (calls.length === 0) return
    const thread = this.#thread ?? this.#start()
    if (!thread || this.#pending + calls.length > MAX_PENDING) return this.#count('lost', calls.length)
    this.#pending += calls.length
    thread.postMessage({ calls } satisfies ToExport)
  }

  /** Sends what is left, for a short time. */
  async close(): Promise<void> {
    const thread = this.#thread
    if (!thread) return
    const ended = once(thread, 'exit')
    thread.postMessage('close' satisfies ToExport)
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref())])
    await thread.terminate()
  }

  #start(): Worker | undefined {
    const { settings, clock, log } = this.#parts
    const now = clock.now()
    if (now - this.#startedAt < RESTART_MS) return undefined
    this.#startedAt = now
    const url = settings.tracing?.otlp
    const thread = new Worker(ENTRY, { workerData: { url, version: ownVersion() }, name: 'traces' })
    thread.unref()
    thread.on('message', ({ outcome, calls }: FromExport) => {
      this.#pending -= calls
      this.#count(outcome, calls)
    })
    thread.on('error', (error) => log.warn('tracing.failed', { error: String(error) }))
    thread.on('exit', () => {
      this.#thread = undefined
      this.#count('lost', this.#pending)
      this.#pending = 0
    })
    this.#thread = thread
    return thread
  }

  #count(outcome: FromExport['outcome'], calls: number): void {
    if (calls > 0) this.#parts.metrics.count('infergate_traced_calls_total', { outcome }, calls)
  }
}
