/**
 * Weighted rendezvous hashing (Thaler and Ravishankar, 1998) with bounded loads: each key has its own order of all backends,
 * so the keys of a backend that leaves or is full are spread over all others and not on one neighbour. It scans every
 * candidate, and is meant for up to 64.
 */
import { lane32, lift32, unit53 } from '../../../lib/hash64.ts'
import { type BoundedOptions, Bounds } from './bounded.ts'
import { leastLoaded } from './least-request.ts'
import type { Policy, PolicyContext } from './policy.ts'

export function rendezvous(context: PolicyContext, options: BoundedOptions = {}): Policy {
  const { table } = context
  const bounds = new Bounds(table, options)
  const high = new Int32Array(table.slots)
  const low = new Int32Array(table.slots)

  return {
    name: 'rendezvous',
    members(slots, ids) {
      for (const [at, slot] of slots.entries()) {
        high[slot] = lane32(ids[at] ?? '', 1)
        low[slot] = lane32(ids[at] ?? '', 2)
      }
    },
    pick(slots, count, key) {
      if (key === undefined) return leastLoaded(context, slots, count)
      const keyHigh = lift32(key, 0)
      const keyLow = lift32(key, 4)
      bounds.measure(slots, count)
      let best = slots[0] ?? 0
      let bestScore = -1
      for (let at = 0; at < count; at++) {
        const slot = slots[at] ?? 0
        const unit = unit53(keyHigh, keyLow, high[slot] ?? 0, low[slot] ?? 0)
        // The static weight and not the share in force: slow start must not move keys; the bound passes them on meanwhile.
        const score = -(table.weight[slot] ?? 1) / Math.log(unit)
        if (score > bestScore && bounds.hasRoom(slot)) {
          best = slot
          bestScore = score
        }
      }
      return best
    },
    onStart: () => bounds.count(1),
    onEnd: () => bounds.count(-1),
    onCancel: () => bounds.count(-1),
  }
}
