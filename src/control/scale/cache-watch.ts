/**
 * Detects that the cache of a pool answers less than before: an unreachable shared tier, a purge of everything, a new
 * deployment. What would remain is measured beforehand: the share of calls that process memory answers.
 */
import type { LoadBucket } from '../../core/load.ts'
import type { CacheLoss } from './demand.ts'

export interface CacheSeen {
  /** Monotonic milliseconds. */
  readonly at: number
  readonly buckets: readonly LoadBucket[]
  /** Of the answered calls, those a shared tier answered. */
  readonly answeredShared: number
  readonly isTierDown: boolean
}

export interface CacheWatch {
  /** The loss that is in effect now. */
  note(seen: CacheSeen): CacheLoss | undefined
  /** Records a loss that another part reports. */
  noteLoss(loss: CacheLoss): void
}

/** Half-life of the counts. */
const HALF_LIFE_MS = 60_000
/** Time after which a flushed cache counts as refilled. */
const OVER_MS = 3_600_000

export function createCacheWatch(): CacheWatch {
  let calls = 0
  let shared = 0
  let answered = 0
  let at: number | undefined
  let down: CacheLoss | undefined
  let announced: CacheLoss | undefined

  return {
    note(seen) {
      const fade = 0.5 ** (Math.max(0, seen.at - (at ?? seen.at)) / HALF_LIFE_MS)
      at = seen.at
      if (!seen.isTierDown) {
        const sum = (column: 'answered' | 'offered') =>
          seen.buckets.reduce((all, bucket) => all + bucket[column], 0)
        shared = shared * fade + seen.answeredShared
        answered = answered * fade + sum('answered')
        calls = calls * fade + sum('answered') + sum('offered')
        down = undefined
      } else if (!down && calls > 0 && shared > 0) {
        down = { kind: 'tierDown', at: seen.at, hitRatioLeft: Math.max(0, (answered - shared) / calls) }
      }
      if (announced && seen.at - announced.at > OVER_MS) announced = undefined
      return down ?? announced
    },
    noteLoss(loss) {
      if (answered > 0) announced = loss
    },
  }
}
