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

export function judge(entry: Lifetime, directives: Directives, wallNow: number): Freshness {
  const remaining = remainingMs(entry, wallNow)
  const tooOld = directives.maxAge !== undefined && ageMs(entry, wallNow) > directives.maxAge
  const tooShort = directives.minFresh !== undefined && remaining < directives.minFresh
  if (!tooOld && !tooShort) {
    if (remaining > 0) return 'fresh'
    if (directives.maxStale !== undefined && remaining > -directives.maxStale) return 'fresh'
    // A caller that sets an age of its own gets no stale answer by the route's window.
    if (directives.maxAge === undefined && directives.minFresh === undefined && remaining > -entry.swrMs)
      return 'revalidate'
  }
  return remaining > -Math.max(entry.sieMs, directives.staleIfError ?? 0) ? 'fallback' : 'dead'
}
