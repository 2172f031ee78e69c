/**
 * Power of two choices (Mitzenmacher, 2001): of two backends drawn at random the less busy one wins. Small pools are scanned
 * whole, because two of four choices still pick a busy one too often. The random draw keeps several gateways from choosing
 * the same idle backend together.
 */

import { outstandingOf } from '../table.ts'
import { leastLoaded } from './least-request.ts'
import type { Policy, PolicyContext } from './policy.ts'
import { TwoChoices } from './two-choices.ts'

/** Pools up to this size are scanned whole. */
export const FULL_SCAN = 8

export function p2c(context: PolicyContext): Policy {
  const { table, random } = context
  const choices = new TwoChoices(table, random)

  return {
    name: 'p2c',
    members: (slots) => choices.weigh(slots),
    pick(slots, count) {
      if (count <= FULL_SCAN) return leastLoaded(context, slots, count)
      choices.draw(slots, count)
      const first = slots[choices.first] ?? 0
      const second = slots[choices.second] ?? 0
      const firstLoad = outstandingOf(table, first)
      const secondLoad = outstandingOf(table, second)
      // Drawn by weight already: the first draw alone gives each backend its due, the second only corrects bad luck.
      if (choices.isWeighted) return secondLoad < firstLoad ? second : first

      const firstShare = table.share[first] ?? 1
      const secondShare = table.share[second] ?? 1
      // Both idle: drawn in proportion to the shares, or the heavier would always win.
      if (firstLoad === 0 && secondLoad === 0) {
        return random() * (firstShare + secondShare) < firstShare ? first : second
      }
      const difference = (firstLoad + 1) * secondShare - (secondLoad + 1) * firstShare
      if (difference === 0) return random() < 0.5 ? first : second
      return difference < 0 ? first : second
    },
  }
}
