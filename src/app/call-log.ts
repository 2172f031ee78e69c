/**
 * The calls that the data workers tell of: their lines go to the log as they are, and those worth showing to the admin API, which
 * keeps the last and passes some on as they happen.
 */
import { CallHistory } from '../control/calls/call-history.ts'
import type { CallLine, TracedCall } from '../core/call-line.ts'
import { type CallBatch, CallOutbox, type CallOutboxParts, settleBatch } from '../data/calls/call-outbox.ts'
import type { Clock } from '../lib/clock.ts'
import { Exemplars } from '../obs/exemplars.ts'
import type { ProcessLog } from '../obs/log.ts'
import type { Metrics } from '../obs/metrics.ts'
import { TraceExport, type TraceExportParts } from './tracing/trace-export.ts'

export interface CallLogParts extends Omit<TraceExportParts, 'log' | 'clock'> {
  /** Characters on their way, over all threads. */
  readonly queued: Int32Array
  readonly log: Pick<ProcessLog, 'writeLines' | 'warn'>
  readonly clock: Pick<Clock, 'now' | 'after'>
}

/** So many are passed on to followers each second. */
const MAX_FOLLOWED = 10
const SECOND = 1000
/** Of the traced calls of a tenth of a second so many, the latest, may be exemplars: reading each takes some microseconds. */
const MAX_EXEMPLARY = 16

export class CallLog {
  readonly history = new CallHistory()
  /** Of traced calls, for the histograms. */
  readonly exemplars = new Exemplars()
  /** Takes the lines of this thread's worker. */
  readonly outbox: CallOutbox
  /** Called with calls as they happen, some a second at most. */
  onCall: (line: CallLine) => void = () => {}
  readonly #parts: CallLogParts
  readonly #traces: TraceExport
  #second = 0
  #followed = 0

  constructor(parts: CallLogParts) {
    this.#parts = parts
    this.#traces = new TraceExport(parts)
    const { metrics } = parts
    const lost = lostOf(metrics)
    this.outbox = new CallOutbox({ ...parts, lost, send: (batch) => this.take(batch) })
  }

  /** Takes a batch of any worker. */
  take(batch: CallBatch): void {
    const { queued, log } = this.#parts
    this.#lost('output', log.writeLines(batch.lines))
    for (const at of batch.notable) this.#show(JSON.parse(batch.lines[at] as string) as CallLine)
    for (const text of batch.traced.slice(-MAX_EXEMPLARY)) this.#exemplify(JSON.parse(text) as TracedCall)
    this.#traces.take(batch.traced)
    settleBatch(queued, batch)
  }

  /** Sends the traces that are left, for a short time. */
  close(): Promise<void> {
    return this.#traces.close()
  }

  #show(line: CallLine): void {
    this.history.add(line)
    const second = Math.floor(this.#parts.clock.now() / SECOND)
    if (second !== this.#second) {
      this.#second = second
      this.#followed = 0
    }
    if (this.#followed++ < MAX_FOLLOWED) this.onCall(line)
  }

  #exemplify({ route, outcome, ms, time, traceId }: TracedCall): void {
    if (route !== undefined)
      this.exemplars.note(route, outcome, { traceId, seconds: ms / 1000, at: Date.parse(time) / 1000 })
  }

  #lost(at: 'output', lines: number): void {
    if (lines > 0) this.#parts.metrics.count('infergate_access_log_lines_lost_total', { at }, lines)
  }
}

/** Counts what a worker could not hand on. */
export function lostOf(metrics: Pick<Metrics, 'count'>): CallOutboxParts['lost'] {
  return (what) =>
    what === 'log'
      ? metrics.count('infergate_access_log_lines_lost_total', { at: 'queue' })
      : metrics.count('infergate_traced_calls_total', { outcome: 'lost' })
}
