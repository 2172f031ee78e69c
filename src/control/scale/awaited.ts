/**
 * Replicas that somebody else starts: we say how many there should be, and see each only when it registers. What is
 * between counts as starting, since the moment it was asked for.
 */
export interface Awaiting {
  /** Since when each replica is awaited, oldest first, monotonic milliseconds. */
  readonly requestedAt: readonly number[]
  readonly ready: number
}

export interface Awaited {
  readonly awaiting: Awaiting
  /** Ages of the replicas that are still to come, milliseconds. */
  readonly startingMs: readonly number[]
  /** How long those took that came since, milliseconds. */
  readonly startsMs: readonly number[]
  /** Nobody seems to follow: what was asked for long ago has not come. */
  readonly isOverdue: boolean
}

export const NONE_AWAITED: Awaiting = { requestedAt: [], ready: 0 }

/** Images are pulled and machines are started; who has not come after this will not. */
const OVERDUE_MS = 600_000

/**
 * @param desired what was asked for last
 * @param startMs how long a start takes, as far as is known: a late replica is the business of whoever starts it, and
 * another one is not asked for in its place
 */
export function awaitReplicas(
  before: Awaiting,
  seen: { readonly desired: number; readonly ready: number; readonly startMs: number },
  now: number,
): Awaited {
  const missing = Math.max(0, seen.desired - seen.ready)
  const arrived = Math.max(0, seen.ready - before.ready)
  const leaving = Math.max(0, before.requestedAt.length - missing)
  const startsMs = before.requestedAt.slice(0, Math.min(arrived, leaving)).map((at) => now - at)
  const requestedAt = before.requestedAt.slice(leaving)
  while (requestedAt.length < missing) requestedAt.push(now)
  const isOverdue =
    requestedAt.length > 0 && now - (requestedAt[0] ?? now) > Math.max(OVERDUE_MS, 4 * seen.startMs)
  return {
    awaiting: { requestedAt: isOverdue ? [] : requestedAt, ready: seen.ready },
    startingMs: requestedAt.map((at) => Math.min(now - at, seen.startMs)),
    startsMs,
    isOverdue,
  }
}
