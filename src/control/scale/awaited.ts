/**
 * Replicas that somebody else starts: we say how many there should be, and see each only when it registers. What is
 * between counts as starting, since the moment it was asked for.
 */
export interface Awaiting {
  /** Since when each replica is awaited, oldest first, monotonic milliseconds. */
  readonly asked: readonly number[]
  readonly ready: number
}

export interface Awaited {
  readonly awaiting: Awaiting
  /** Ages of the replicas that are still to come, milliseconds. */
  readonly startingMs: readonly number[]
  /** How long those took that came since, milliseconds. */
  readonly startsMs: readonly number[]
  /** Nobody seems to follow: what was asked for long ago has not come. */
  readonly isUnheard: boolean
}

export const NOBODY_AWAITED: Awaiting = { asked: [], ready: 0 }

/** Images are pulled and machines are started; who has not come after this will not. */
const UNHEARD_MS = 600_000

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
  const came = Math.max(0, seen.ready - before.ready)
  const leaving = Math.max(0, before.asked.length - missing)
  const startsMs = before.asked.slice(0, Math.min(came, leaving)).map((at) => now - at)
  const asked = before.asked.slice(leaving)
  while (asked.length < missing) asked.push(now)
  const isUnheard = asked.length > 0 && now - (asked[0] ?? now) > Math.max(UNHEARD_MS, 4 * seen.startMs)
  return {
    awaiting: { asked: isUnheard ? [] : asked, ready: seen.ready },
    startingMs: asked.map((at) => Math.min(now - at, seen.startMs)),
    startsMs,
    isUnheard,
  }
}
