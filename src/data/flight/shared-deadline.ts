/** The deadline of a load that several callers may wait for. */

/** Until when somebody waits for an answer. It may grow: others join who have more time. */
export interface SharedDeadline {
  /** Monotonic milliseconds. */
  readonly deadline: number
  /** Others wait for it besides the caller it began with. */
  readonly isJoined?: boolean
}
