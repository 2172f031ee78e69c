/**
 * Micro-batching: rows of several callers in one upstream request. While the backend has room, each caller's rows are sent
 * at once by themselves, and nobody waits. Only while it is busy rows are queued: up to `maxRows`, for at most `maxDelay`,
 * and no longer than the nearest deadline allows, given the expected service time.
 *
 *   submit → (wait for more rows) → send → the answers, cut by caller
 *                                    └─ refused as a whole → each caller's rows once more by themselves
 *
 * The rows of a caller who leaves are removed before the send; a send is cancelled when all its callers have left. A backend
 * failure is given to every caller. After a refusal the callers' rows are sent separately, so that only the one whose rows
 * are at fault is refused. No I/O here: `send` is passed in.
 */

import type { Charge } from '../../core/tenant-share.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { Clock } from '../../lib/clock.ts'
import type { SharedDeadline } from '../flight/shared-deadline.ts'
import { BatchRequest } from './batch-request.ts'
import { type Batched, type BatchJob, type BatchShare, Submission } from './submission.ts'

export interface BatcherOptions<J, W, A, R> {
  /**
   * Sends one upstream request for all shares, rows in the shares' order. `refused`: the backend did not accept the request,
   * or its answer does not fit the rows. Rejects if it failed for a reason that has nothing to do with the rows.
   */
  readonly send: (
    shares: readonly BatchShare<J, W>[],
    options: SharedDeadline & { readonly signal: Signal; readonly charges: readonly Charge[] },
  ) => Promise<Batched<A, R>>
  readonly clock: Clock
  readonly maxRows: number
  /** The longest that a row is queued, in milliseconds. */
  readonly maxDelayMs: number
  /** Bytes of rows in one request; a single larger row goes by itself. Default 4 MiB. */
  readonly maxBytes?: number
  /** The most rows that the backends of this route declare to accept, if they declare it. */
  readonly maxBatch?: () => number | undefined
  /** True while every backend is at capacity: only then rows are queued. */
  readonly busy: () => boolean
  /** Milliseconds a request is expected to take, cautiously (its 90th percentile). */
  readonly serviceMs?: () => number
  /** Rows that may be queued in all groups together; beyond that, rows are sent at once. Default 4,096. */
  readonly maxWaiting?: number
}

export interface Batcher<J, W, A, R> {
  /** Settles once: with the answers to these rows, or with a refusal; rejects if the send fails or the caller leaves. */
  submit(job: BatchJob<J, W>): Promise<Batched<A, R>>
  /** Queued rows. */
  readonly waiting: number
  /** Requests under way. */
  readonly sending: number
  /** Sends what is queued; from then on nothing is queued. */
  close(): void
}

const MAX_BYTES = 4 * 1024 * 1024
const MAX_WAITING = 4_096
/** Subtracted from a deadline together with the expected service time. */
const MARGIN_MS = 5

export function createBatcher<J, W, A, R>(options: BatcherOptions<J, W, A, R>): Batcher<J, W, A, R> {
  return new MicroBatcher(options)
}

/** Submissions of one group, oldest first. */
interface Queue<J, W, A, R> {
  readonly submissions: Set<Submission<J, W, A, R>>
  /** When the queue's timer fires; `cancel` stops it. */
  due: number
  cancel: () => void
}

class MicroBatcher<J, W, A, R> implements Batcher<J, W, A, R> {
  readonly #options: BatcherOptions<J, W, A, R>
  readonly #queues = new Map<string, Queue<J, W, A, R>>()
  #waiting = 0
  #sending = 0
  #closed = false

  constructor(options: BatcherOptions<J, W, A, R>) {
    this.#options = options
  }

  get waiting(): number {
    return this.#waiting
  }

  get sending(): number {
    return this.#sending
  }

  submit(job: BatchJob<J, W>): Promise<Batched<A, R>> {
    if (job.signal.aborted) return Promise.reject(job.signal.reason)
    if (job.rows.length === 0) return Promise.resolve({ answers: [] })
    const submission = new Submission<J, W, A, R>(job)
    submission.onDone.push(() => this.#leave(submission))
    this.#enqueue(submission)
    return submission.outcome
  }

  close(): void {
    this.#closed = true
    for (const [group, queue] of this.#queues) this.#flush(group, queue)
  }

  #enqueue(submission: Submission<J, W, A, R>): void {
    const { group, rows } = submission.job
    const queue = this.#queues.get(group) ?? {
      submissions: new Set(),
      due: Number.POSITIVE_INFINITY,
      cancel: () => {},
    }
    this.#queues.set(group, queue)
    queue.submissions.add(submission)
    this.#waiting += rows.length
    const isFull = this.#waiting > (this.#options.maxWaiting ?? MAX_WAITING)
    if (this.#closed || isFull || !this.#options.busy()) return this.#flush(group, queue)
    while (this.#isReady(queue)) this.#sendOne(group, queue)
    if (queue.submissions.size > 0) this.#await(group, queue, submission.job.deadline)
  }

  #leave(submission: Submission<J, W, A, R>): void {
    const { group } = submission.job
    const queue = this.#queues.get(group)
    if (!queue?.submissions.delete(submission)) return
    this.#waiting -= submission.left
    if (queue.submissions.size === 0) this.#drop(group, queue)
  }

  /** The most that one request may hold. */
  get #limit(): number {
    const { maxRows, maxBatch } = this.#options
    return Math.max(1, Math.min(maxRows, maxBatch?.() ?? maxRows))
  }

  get #maxBytes(): number {
    return this.#options.maxBytes ?? MAX_BYTES
  }

  /** Whether there are rows enough for the largest allowed request. */
  #isReady({ submissions }: Queue<J, W, A, R>): boolean {
    let [rows, bytes] = [0, 0]
    for (const submission of submissions) {
      rows += submission.left
      bytes += submission.leftBytes
    }
    return rows >= this.#limit || bytes >= this.#maxBytes
  }

  /** Sets the timer earlier if the newest submission must be sent sooner. */
  #await(group: string, queue: Queue<J, W, A, R>, deadline: number): void {
    const { clock, maxDelayMs, serviceMs } = this.#options
    const now = clock.now()
    const latest = deadline - (serviceMs?.() ?? 0) - MARGIN_MS
    const due = Math.max(now, Math.min(now + maxDelayMs, latest))
    if (due >= queue.due) return
    queue.cancel()
    queue.due = due
    queue.cancel = clock.after(due - now, () => this.#flush(group, queue))
  }

  #drop(group: string, queue: Queue<J, W, A, R>): void {
    queue.cancel()
    queue.due = Number.POSITIVE_INFINITY
    if (this.#queues.get(group) === queue) this.#queues.delete(group)
  }

  #flush(group: string, queue: Queue<J, W, A, R>): void {
    while (queue.submissions.size > 0) this.#sendOne(group, queue)
  }

  /** Takes rows off the head of the queue, as many as one request holds, and sends them. */
  #sendOne(group: string, queue: Queue<J, W, A, R>): void {
    const request = new BatchRequest<J, W, A, R>()
    let room = this.#limit
    let bytes = this.#maxBytes
    for (const submission of queue.submissions) {
      const count = Math.min(submission.left, room, submission.fitting(bytes, request.rows === 0))
      if (count === 0) break
      const share = submission.take(count)
      request.add(submission, share)
      this.#waiting -= count
      room -= count
      bytes -= share.bytes
      if (submission.left > 0) break
      queue.submissions.delete(submission)
    }
    if (queue.submissions.size === 0) this.#drop(group, queue)
    void this.#send(request, true)
  }

  async #send(request: BatchRequest<J, W, A, R>, isFirst: boolean): Promise<void> {
    this.#sending++
    const { shares } = request
    try {
      const result = checked(await this.#options.send(shares, request), request.rows)
      if ('answers' in result) request.answered(result.answers)
      else if (isFirst && shares.length > 1 && !result.forAll)
        for (const one of request.split()) void this.#send(one, false)
      else request.refused(result.refused)
    } catch (error) {
      request.failed(error)
    } finally {
      this.#sending--
      this.#flushIfIdle()
    }
  }

  /** Sends what is queued if the end of a request gave the backends room. */
  #flushIfIdle(): void {
    for (const [group, queue] of this.#queues) {
      if (this.#options.busy()) return
      this.#flush(group, queue)
    }
  }
}

function checked<A, R>(result: Batched<A, R>, rows: number): Batched<A, R> {
  if ('answers' in result && result.answers.length !== rows) {
    throw new Error(`a batch of ${rows} rows was answered with ${result.answers.length}`)
  }
  return result
}
