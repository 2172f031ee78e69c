/** The deadline of a load for which several callers may wait, and by whose share it waits. */
import type { TenantShare } from '../../core/tenant-share.ts'

/** Until when somebody waits for an answer. It grows when a caller joins who has more time. */
export interface SharedDeadline {
  /** Monotonic milliseconds. */
  readonly deadline: number
  /** Others wait besides the caller with whom the load began. */
  readonly isJoined?: boolean
  /** Of the shares of those who wait, one of the highest class; undefined: that of the call with which the load began. */
  readonly share?: TenantShare | undefined
  /** Set while the load waits for a place: called when `share` has changed. */
  onPromoted?: (() => void) | undefined
}

/** The same, but so many milliseconds earlier. */
export class ReservedDeadline implements SharedDeadline {
  readonly #until: SharedDeadline
  readonly #reservedMs: number

  constructor(until: SharedDeadline, reservedMs: number) {
    this.#until = until
    this.#reservedMs = reservedMs
  }

  get deadline(): number {
    return this.#until.deadline - this.#reservedMs
  }

  get isJoined(): boolean {
    return this.#until.isJoined === true
  }

  get share(): TenantShare | undefined {
    return this.#until.share
  }
}
