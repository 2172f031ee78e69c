/** What the pools share: slots, generations, and how many backends there may be in all. */
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Member } from './member.ts'
import { SLOTS, Slots } from './slots.ts'

/** `joined`: new, or under a new generation; `cut`: removed with calls still running; `expired`: its lease was not renewed. */
export type MemberChange = 'joined' | 'drained' | 'cut' | 'expired'

export interface Supply {
  readonly slots: Slots
  readonly log: Log
  /** Counts a backend that is new in a pool, or gone. */
  readonly changed: (pool: string, change: MemberChange) => void
  /** Grows with each call, over all ids. */
  nextGeneration(): number
  /** Members of all pools that are not on their way out. */
  staying(): number
}

export interface SupplyOptions {
  readonly clock: Clock
  readonly log: Log
  readonly random?: () => number
  readonly changed?: Supply['changed']
  readonly pools: ReadonlyMap<string, { readonly present: ReadonlyMap<string, Member> }>
}

export function createSupply(options: SupplyOptions): Supply {
  const { clock, log, random = Math.random, pools, changed = () => {} } = options
  let generation = firstGeneration(clock.wall(), random)
  return {
    slots: new Slots(SLOTS),
    log,
    changed,
    nextGeneration: () => ++generation,
    staying() {
      let count = 0
      for (const { present } of pools.values())
        for (const { drain } of present.values()) if (!drain?.thenRemove) count++
      return count
    },
  }
}

/**
 * The first generation of a registry. It is derived from the wall clock, so that no number from before a restart is
 * used again, and random within the millisecond, because gateways that start together share their backends.
 */
function firstGeneration(wall: number, random: () => number): number {
  return wall * 256 + Math.floor(random() * 256)
}
