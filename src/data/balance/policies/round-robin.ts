/**
 * Weighted round robin, as deficit round robin (Shreedhar and Varghese, 1995): a visit earns a backend its share of the
 * heaviest one's turn, and a call costs a whole turn. So a pick visits few backends whatever the size of the pool.
 */
import type { Policy, PolicyContext } from './policy.ts'

export function roundRobin({ table, random }: PolicyContext): Policy {
  const credit = new Float64Array(table.slots)
  // A random start: gateways that start together must not begin with the same backend.
  let cursor = Math.floor(random() * table.slots)
  let heaviest = 0
  let seen = 0

  return {
    name: 'round-robin',
    pick(slots, count) {
      // At most two laps find a turn once the heaviest is known; the bound keeps shares of 0 from looping.
      for (let visits = 0; visits <= 3 * count; visits++) {
        if (cursor >= count) {
          heaviest = seen
          seen = 0
          cursor %= count
        }
        const slot = slots[cursor++] ?? 0
        const share = table.share[slot] ?? 1
        if (share > seen) seen = share
        const turn = Math.max(heaviest, seen)
        const earned = (credit[slot] ?? 0) + (turn > 0 ? share / turn : 1)
        // A tenth of a turn earned ten times must be one, whatever the rounding.
        if (earned >= 1 - 1e-9) {
          credit[slot] = Math.min(earned - 1, 1)
          return slot
        }
        credit[slot] = earned
      }
      return slots[Math.floor(random() * count)] ?? 0
    },
    forget(slot) {
      credit[slot] = 0
    },
  }
}
