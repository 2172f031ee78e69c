/**
 * The rows that one caller submits to the batcher: how many were sent, and the answers so far. They may take several requests;
 * the submission settles once.
 */

import type { TenantShare } from '../../core/tenant-share.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { SharedDeadline } from '../flight/shared-deadline.ts'

/** One caller's rows. */
export interface BatchJob<J, W> extends SharedDeadline {
  /** Rows of jobs with the same group may share a request. */
  readonly group: string
  /** The caller's own, passed through to `send`. */
  readonly job: J
  readonly rows: readonly W[]
  /** Who pays for the rows; undefined: everybody. */
  readonly payer?: TenantShare | undefined
  /** Bytes of all rows together. */
  readonly bytes: number
  /** Monotonic milliseconds after which nobody waits; it may grow while the job waits. */
  readonly deadline: number
  readonly signal: Signal
}

/** The result of a request or of one caller's rows: one answer for each row, in order, or a refusal of all rows. */
export type Batched<A, R> =
  | { readonly answers: readonly A[] }
  /** `forAll`: the refusal has nothing to do with the rows, so every caller gets it, and nothing is sent again. */
  | { readonly refused: R; readonly forAll?: boolean }

/** One caller's part of a request. */
export interface BatchShare<J, W> {
  readonly job: J
  readonly rows: readonly W[]
  /** The index of the first of them among the caller's rows. */
  readonly from: number
  readonly bytes: number
}

export class Submission<J, W, A, R> {
  readonly job: BatchJob<J, W>
  readonly outcome: Promise<Batched<A, R>>
  /** Called once when the submission has settled; the batcher and the requests that carry its rows listen. */
  readonly onDone: (() => void)[] = []
  isDone = false
  #taken = 0
  #missing: number
  readonly #answers: A[]
  #settle: { resolve(value: Batched<A, R>): void; reject(error: unknown): void }
  readonly #leave = () => this.failed(this.job.signal.reason)

  constructor(job: BatchJob<J, W>) {
    this.job = job
    this.#missing = job.rows.length
    this.#answers = new Array<A>(job.rows.length)
    const { promise, resolve, reject } = Promise.withResolvers<Batched<A, R>>()
    this.outcome = promise
    this.#settle = { resolve, reject }
    job.signal.addEventListener('abort', this.#leave, { once: true })
  }

  /** Rows not sent yet. */
  get left(): number {
    return this.job.rows.length - this.#taken
  }

  get leftBytes(): number {
    return this.left * this.#bytesPerRow
  }

  /** How many of the rows left fit into so many bytes; at least one if the request is empty. */

  fitting(bytes: number, isEmpty: boolean): number {
    const count = this.#bytesPerRow === 0 ? this.left : Math.floor(bytes / this.#bytesPerRow)
    return Math.min(this.left, isEmpty ? Math.max(1, count) : Math.max(0, count))
  }

  take(count: number): BatchShare<J, W> {
    const from = this.#taken
    this.#taken += count
    const rows = this.job.rows.slice(from, this.#taken)
    return { job: this.job.job, rows, from, bytes: count * this.#bytesPerRow }
  }

  answered({ from }: BatchShare<J, W>, answers: readonly A[]): void {
    for (const [i, answer] of answers.entries()) this.#answers[from + i] = answer
    this.#missing -= answers.length
    if (this.#missing === 0) this.#finish(() => this.#settle.resolve({ answers: this.#answers }))
  }

  refused(refused: R): void {
    this.#finish(() => this.#settle.resolve({ refused }))
  }

  failed(error: unknown): void {
    this.#finish(() => this.#settle.reject(error))
  }

  get #bytesPerRow(): number {
    return this.job.bytes / this.job.rows.length
  }

  #finish(settle: () => void): void {
    if (this.isDone) return
    this.isDone = true
    this.job.signal.removeEventListener('abort', this.#leave)
    settle()
    for (const done of this.onDone.splice(0)) done()
  }
}
