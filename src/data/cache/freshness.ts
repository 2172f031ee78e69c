/** How old an entry may be for this caller (RFC 9111, section 4.2; RFC 5861). */
import type { Directives } from './directives.ts'
import { ageMs, type Entry, remainingMs } from './entry.ts'

/**
 * `fresh`: it answers. `revalidate`: it answers, and a new one is fetched behind the answer. `fallback`: it
 * answers only when the backends fail. `dead`: it does not answer.
 */
/** As much of an entry as its freshness is told from; milliseconds. */
type Lifetime = Pick<Entry, 'createdAt' | 'ttlMs' | 'swrMs' | 'sieMs'>

export type Freshness = 'fresh' | 'revalidate' | 'fallback' | 'dead'

export function judge(entry: Lifetime, wish: Directives, wallNow: number): Freshness {
  const remaining = remainingMs(entry, wallNow)
  const tooOld = wish.maxAge !== undefined && ageMs(entry, wallNow) > wish.maxAge
  const tooShort = wish.minFresh !== undefined && remaining < wish.minFresh
  if (!tooOld && !tooShort) {
    if (remaining > 0) return 'fresh'
    if (wish.maxStale !== undefined && remaining > -wish.maxStale) return 'fresh'
    // Who asks for an age of its own wants no other.
    if (wish.maxAge === undefined && wish.minFresh === undefined && remaining > -entry.swrMs)
      return 'revalidate'
  }
  return remaining > -Math.max(entry.sieMs, wish.staleIfError ?? 0) ? 'fallback' : 'dead'
}
