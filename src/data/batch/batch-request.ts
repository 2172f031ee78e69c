/**
 * One upstream request of the batcher: the shares of rows that it carries, in order, and the callers that wait for them.
 */

import { GatewayError } from '../../core/errors.ts'
import { type Charge, EVERYBODY, moreUrgent, type TenantShare } from '../../core/tenant-share.ts'
import { Cancel, type Signal } from '../../lib/cancel.ts'
import type { SharedDeadline } from '../flight/shared-deadline.ts'
import type { BatchShare, Submission } from './submission.ts'

interface Part<J, W, A, R> {
  readonly submission: Submission<J, W, A, R>
  readonly share: BatchShare<J, W>
}

export class BatchRequest<J, W, A, R> implements SharedDeadline {
  rows = 0
  readonly #parts: Part<J, W, A, R>[] = []
  readonly #cancel = new Cancel()
  #isOver = false

  /** The latest of its callers' deadlines, in monotonic milliseconds. */
  get deadline(): number {
    return this.#parts.reduce((latest, { submission }) => Math.max(latest, submission.job.deadline), 0)
  }

  /** Whether several callers wait for the request. */
  get isJoined(): boolean {
    return this.#parts.length > 1 || this.#parts.some(({ submission }) => submission.job.isJoined)
  }

  /** Of its callers' shares, one of the highest class. */
  get share(): TenantShare | undefined {
    const [first, ...others] = this.#parts.map(({ submission }) => submission.job.share)
    return others.reduce(moreUrgent, first)
  }

  set onPromoted(promoted: (() => void) | undefined) {
    for (const { submission } of this.#parts) submission.job.onPromoted = promoted
  }

  /** Each caller pays for its rows. */
  get charges(): readonly Charge[] {
    return this.#parts.map(({ submission, share }) => ({
      share: submission.job.payer ?? EVERYBODY,
      cost: share.rows.length,
    }))
  }

  get shares(): readonly BatchShare<J, W>[] {
    return this.#parts.map(({ share }) => share)
  }

  /** Aborted when no caller waits any more: all have left or are settled. */
  get signal(): Signal {
    return this.#cancel
  }

  add(submission: Submission<J, W, A, R>, share: BatchShare<J, W>): void {
    this.#parts.push({ submission, share })
    this.rows += share.rows.length
    submission.onDone.push(() => this.#left())
  }

  answered(answers: readonly A[]): void {
    this.#isOver = true
    let from = 0
    for (const { submission, share } of this.#parts) {
      submission.answered(share, answers.slice(from, from + share.rows.length))
      from += share.rows.length
    }
  }

  refused(refused: R): void {
    this.#isOver = true
    for (const { submission } of this.#parts) submission.refused(refused)
  }

  failed(error: unknown): void {
    this.#isOver = true
    for (const { submission } of this.#parts) submission.failed(error)
  }

  /** One request for each caller who still waits, with that caller's rows alone. */
  split(): BatchRequest<J, W, A, R>[] {
    this.#isOver = true
    return this.#parts.flatMap(({ submission, share }) => {
      if (submission.isDone) return []
      const alone = new BatchRequest<J, W, A, R>()
      alone.add(submission, share)
      return alone
    })
  }

  #left(): void {
    if (this.#isOver || !this.#parts.every(({ submission }) => submission.isDone)) return
    this.#isOver = true
    this.#cancel.abort(new GatewayError('callerLeft', 'nobody waits for this any more'))
  }
}
