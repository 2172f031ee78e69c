/**
 * Collects the records of one thread in a buffer, which goes to the thread that writes the log when it is full or a tenth of a
 * second old. The buffer is transferred, not copied. What is not yet written is bounded over all threads: while the writer
 * cannot keep up, further records are dropped and counted.
 */
import type { WholeBody } from '../../core/call.ts'
import { type PredictionHead, packedBytes, packPrediction } from '../../core/prediction.ts'
import type { Clock } from '../../lib/clock.ts'

/** Why a record is not in the log: too much waits to be written; request and answer are too long; the answer broke off. */
export type DropReason = 'queue' | 'size' | 'incomplete'

export interface RecorderParts {
  /** Hands on a batch, whose buffer is transferred. */
  readonly send: (batch: Uint8Array<ArrayBuffer>) => void
  /** Bytes handed on and not yet written, over all threads. */
  readonly queuedBytes: () => number
  readonly dropped: (route: string, reason: DropReason) => void
  readonly clock: Pick<Clock, 'after'>
}

/** Bound of what is handed on and not yet written. */
export const MAX_QUEUED_BYTES = 64 << 20
/** Bound of one record. */
export const MAX_RECORD_BYTES = 16 << 20
const BATCH_BYTES = 256 << 10
const BATCH_MS = 100

export class Recorder {
  readonly #parts: RecorderParts
  #batch: Buffer<ArrayBuffer> | undefined
  #used = 0
  #cancel: (() => void) | undefined

  constructor(parts: RecorderParts) {
    this.#parts = parts
  }

  /** Copies the bodies, so they may be reused afterwards. */
  add(head: PredictionHead, request: WholeBody, answer: WholeBody): void {
    const { queuedBytes } = this.#parts
    const packedHead = Buffer.from(JSON.stringify(head))
    const bytes = packedBytes(packedHead, request, answer)
    if (bytes > MAX_RECORD_BYTES) return this.drop(head.route, 'size')
    if (queuedBytes() + this.#used + bytes > MAX_QUEUED_BYTES) return this.drop(head.route, 'queue')
    if (this.#used + bytes > (this.#batch?.length ?? 0)) this.#begin(bytes)
    this.#used = packPrediction(this.#batch as Buffer, this.#used, [packedHead, request, answer])
  }

  drop(route: string, reason: DropReason): void {
    this.#parts.dropped(route, reason)
  }

  /** Hands on what was collected. */
  flush(): void {
    this.#cancel?.()
    this.#cancel = undefined
    const batch = this.#batch
    if (!batch) return
    this.#batch = undefined
    this.#parts.send(batch.subarray(0, this.#used))
    this.#used = 0
  }

  #begin(bytes: number): void {
    this.flush()
    // Not from Node's pool: a buffer that others share cannot be transferred.
    this.#batch = Buffer.allocUnsafeSlow(Math.max(BATCH_BYTES, bytes))
    this.#cancel = this.#parts.clock.after(BATCH_MS, () => this.flush())
  }
}
