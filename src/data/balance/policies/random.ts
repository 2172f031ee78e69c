/** Random choice in proportion to the weights, without knowledge of load: the baseline for the other policies. */

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
