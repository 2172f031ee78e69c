/** Random choice in proportion to the weights, without knowledge of load: the baseline for the other policies. */

import type { Policy, PolicyContext } from './policy.ts'
import { TwoChoices } from './two-choices.ts'

export function random(context: PolicyContext): Policy {
  const choices = new TwoChoices(context.table, context.random)
  return {
    name: 'random',
    members: (slots) => choices.weigh(slots),
    pick: (slots, count) => slots[choices.one(slots, count)] ?? 0,
  }
}
