/** The balancing policies by the name they have in the YAML. */
import type { BoundedOptions } from './bounded.ts'
import { leastRequest } from './least-request.ts'
import { maglev } from './maglev.ts'
import { p2c } from './p2c.ts'
import { peakEwma } from './peak-ewma.ts'
import type { Policy, PolicyContext } from './policy.ts'
import { type PrequalOptions, prequal } from './prequal.ts'
import { random } from './random.ts'
import { rendezvous } from './rendezvous.ts'
import { roundRobin } from './round-robin.ts'

/** Settings of single policies; each reads its own. */
export interface PolicyOptions extends BoundedOptions, PrequalOptions {}

const policies = {
  'peak-ewma': peakEwma,
  p2c,
  prequal,
  'least-request': leastRequest,
  'round-robin': roundRobin,
  random,
  rendezvous,
  maglev,
} as const satisfies Record<string, (context: PolicyContext, options: PolicyOptions) => Policy>

export type PolicyName = keyof typeof policies

export const policyNames = Object.keys(policies) as readonly PolicyName[]

export function createPolicy(name: PolicyName, context: PolicyContext, options: PolicyOptions = {}): Policy {
  const create: (context: PolicyContext, options: PolicyOptions) => Policy = policies[name]
  return create(context, options)
}
