/** Judges whether an entry is fresh enough for a caller (RFC 9111, section 4.2; RFC 5861). */
import type { Directives } from './directives.ts'
import { ageMs, type Entry, remainingMs } from './entry.ts'

/** The part of an entry that decides its freshness; milliseconds. */
type Lifetime = Pick<Entry, 'createdAt' | 'ttlMs' | 'swrMs' | 'sieMs'>

/**
 * `fresh`: it answers. `revalidate`: it answers, and a new answer is fetched behind this one. `fallback`: it answers only
 * when the backends fail. `dead`: it does not answer.
 */

export type Freshness = 'fresh' | 'revalidate' | 'fallback' | 'dead'

export function judge(entry: Lifetime, wish: Directives, wallNow: number): Freshness {
  const remaining = remainingMs(entry, wallNow)
  const tooOld = wish.maxAge !== undefined && ageMs(entry, wallNow) > wish.maxAge
  const tooShort = wish.minFresh !== undefined && remaining < wish.minFresh
  if (!tooOld && !tooShort) {
    if (remaining > 0) return 'fresh'
    if (wish.maxStale !== undefined && remaining > -wish.maxStale) return 'fresh'
    // A caller that sets an age of its own gets no stale answer by the route's window.
    if (wish.maxAge === undefined && wish.minFresh === undefined && remaining > -entry.swrMs)
      return 'revalidate'
  }
  return remaining > -Math.max(entry.sieMs, wish.staleIfError ?? 0) ? 'fallback' : 'dead'
}
