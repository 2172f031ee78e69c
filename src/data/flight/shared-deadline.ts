/** The deadline of a load for which several callers may wait. */

/** Until when somebody waits for an answer. It grows when a caller joins who has more time. */
export interface SharedDeadline {
  /** Monotonic milliseconds. */
  readonly deadline: number
  /** Others wait besides the caller with whom the load began. */
  readonly isJoined?: boolean
}
