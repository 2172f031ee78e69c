/** The balancing policies by the name they have in the YAML. */
import type { BoundedOptions } from './bounded.ts'
import { leastRequest } from './least-request.ts'
import { maglev } from './maglev.ts'
import { p2c } from './p2c.ts'
import { peakEwma } from './peak-ewma.ts'
import type { Policy, PolicyContext } from './policy.ts'
import { prefix } from './prefix.ts'
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
  prefix,
} as const satisfies Record<string, PolicyFactory>

export type PolicyName = keyof typeof policies

/** Makes a policy for one pool. */
export type PolicyFactory = (context: PolicyContext, options: PolicyOptions) => Policy

export const policyNames = Object.keys(policies) as readonly PolicyName[]

export function createPolicy(name: PolicyName, context: PolicyContext, options: PolicyOptions = {}): Policy {
  const create: PolicyFactory = policies[name]
  return create(context, options)
}

export function isPolicyName(name: string): name is PolicyName {
  return Object.hasOwn(policies, name)
}
