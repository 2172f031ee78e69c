/**
 * Maglev hashing (Eisenbud et al., NSDI 2016) with bounded loads: affinity in constant time for pools too large for
 * rendezvous hashing. The table is filled from the membership, not from the candidates of one call, so a backend that is
 * full or ejected for a moment moves nobody else's keys.
 */
import { lane32, lift32, mix32 } from '../../../lib/hash64.ts'
import { type BoundedOptions, Bounds } from './bounded.ts'
import { leastLoaded } from './least-request.ts'
import type { Policy, PolicyContext } from './policy.ts'

/** A prime, and well above 100 times the largest pool. */
const PLACES = 65_537
/** Jumps a key makes past full or missing backends before the least loaded one takes it. */
const JUMPS = 24
const EMPTY = 0xffff

/** Whether `slot` is among the ascending `slots[0..count)`. */
export function isAmong(slots: Int32Array, count: number, slot: number): boolean {
  let from = 0
  let to = count
  while (from < to) {
    const middle = (from + to) >> 1
    if ((slots[middle] ?? 0) < slot) from = middle + 1
    else to = middle
  }
  return from < count && slots[from] === slot
}

/**
 * Fills the places: each backend has its own permutation of them and takes its next free one in turn; a backend of half the
 * weight has every other turn.
 */
export function fillMaglev(slots: Int32Array, ids: readonly string[], weights: Float64Array): Uint16Array {
  const places = new Uint16Array(PLACES).fill(EMPTY)
  const count = slots.length
  const next = Float64Array.from(ids, (id) => (lane32(id, 1) >>> 0) % PLACES)
  const skip = Float64Array.from(ids, (id) => ((lane32(id, 2) >>> 0) % (PLACES - 1)) + 1)
  const turns = new Float64Array(count)
  let heaviest = 0
  for (const slot of slots) heaviest = Math.max(heaviest, weights[slot] ?? 1)
  if (!(heaviest > 0)) return places

  for (let filled = 0; filled < PLACES; ) {
    for (let at = 0; at < count && filled < PLACES; at++) {
      const slot = slots[at] ?? 0
      const turn = (turns[at] ?? 0) + (weights[slot] ?? 1) / heaviest
      turns[at] = turn >= 1 ? turn - 1 : turn
      if (turn < 1) continue
      let place = next[at] ?? 0
      while (places[place] !== EMPTY) place = (place + (skip[at] ?? 1)) % PLACES
      places[place] = slot
      next[at] = (place + (skip[at] ?? 1)) % PLACES
      filled++
    }
  }
  return places
}

export function maglev(context: PolicyContext, options: BoundedOptions = {}): Policy {
  const { table } = context
  const bounds = new Bounds(table, options)
  let places: Uint16Array = new Uint16Array(PLACES).fill(EMPTY)

  return {
    name: 'maglev',
    members(slots, ids) {
      places = fillMaglev(slots, ids, table.weight)
    },
    pick(slots, count, key) {
      if (key === undefined) return leastLoaded(context, slots, count)
      bounds.measure(slots, count)
      // The length of a jump depends on the key: neighbours on the table do not overflow onto the same backend.
      let place = (lift32(key, 0) >>> 0) % PLACES
      const jump = (mix32(lift32(key, 4)) >>> 0) % (PLACES - 1)
      for (let tries = 0; tries < JUMPS; tries++) {
        const slot = places[place] ?? EMPTY
        if (isAmong(slots, count, slot) && bounds.hasRoom(slot)) return slot
        place = (place + jump + 1) % PLACES
      }
      return leastLoaded(context, slots, count)
    },
    onStart: () => bounds.count(1),
    onEnd: () => bounds.count(-1),
    onCancel: () => bounds.count(-1),
  }
}
