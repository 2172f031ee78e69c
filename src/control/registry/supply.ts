/** What the pools share: slots, generations, and how many backends there may be in all. */
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Member } from './member.ts'
import { SLOTS, Slots } from './slots.ts'

export interface Supply {
  readonly slots: Slots
  readonly log: Log
  /** Grows with each call, over all ids. */
  nextGeneration(): number
  /** Members of all pools that are not on their way out. */
  staying(): number
}

export interface SupplyOptions {
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  readonly pools: ReadonlyMap<string, { readonly present: ReadonlyMap<string, Member> }>
}

export function createSupply({ clock, log, random, pools }: SupplyOptions): Supply {
  let generation = firstGeneration(clock.wall(), random)
  return {
    slots: new Slots(SLOTS),
    log,
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
