/**
 * Tracks replicas that an external autoscaler starts. The gateway only publishes a number and sees a replica when it
 * registers; until then it counts as starting since it was requested.
 */
export interface Awaiting {
  /** When each missing replica was requested, oldest first, monotonic milliseconds. */
  readonly requestedAt: readonly number[]
  readonly ready: number
}

export interface Awaited {
  readonly awaiting: Awaiting
  /** Ages of the replicas that are still missing, milliseconds. */
  readonly startingMs: readonly number[]
  /** Start times of the replicas that have arrived since, milliseconds. */
  readonly startsMs: readonly number[]
  /** True where the oldest request is so old that no autoscaler seems to follow. */
  readonly isOverdue: boolean
}

export const NONE_AWAITED: Awaiting = { requestedAt: [], ready: 0 }

/** Longest plausible start: images are pulled and machines are booted. */
const OVERDUE_MS = 600_000

/**
 * @param seen `desired`: what was requested last. `startMs`: the known start time; a late replica is the autoscaler's
 * problem, and no other one is requested in its place
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
