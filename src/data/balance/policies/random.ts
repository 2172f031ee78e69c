/** By lot, in proportion to the weights. Needs no knowledge of load: the yardstick the others are held to. */

import type { Policy, PolicyContext } from './policy.ts'
import { TwoChoices } from './two-choices.ts'

export function random(context: PolicyContext): Policy {
  const lot = new TwoChoices(context.table, context.random)
  return {
    name: 'random',
    members: (slots) => lot.weigh(slots),
    pick: (slots, count) => slots[lot.one(slots, count)] ?? 0,
  }
}
