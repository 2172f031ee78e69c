/** What the settings say of a pool, and the parts that are made of it. */
import type { Backend } from '../../core/backend.ts'
import type { Clock } from '../../lib/clock.ts'
import type { HedgeOptions } from '../balance/hedge.ts'
import type { LimitOptions, Limits } from '../balance/limits/limit.ts'
import type { QueueOptions } from '../balance/limits/queue.ts'
import type { RetryBudgetOptions } from '../balance/limits/retry-budget.ts'
import { type OutlierOptions, Outliers } from '../balance/outliers/outlier.ts'
import type { OutlierState } from '../balance/outliers/outlier-state.ts'
import {
  createPolicy,
  isPolicyName,
  type PolicyFactory,
  type PolicyOptions,
} from '../balance/policies/policies.ts'
import type { Policy, PolicyContext } from '../balance/policies/policy.ts'
import { Selector, type SelectorOptions } from '../balance/select.ts'
import type { LoadTable } from '../balance/table.ts'
import type { Clients } from './clients.ts'
import { HttpProber } from './prober.ts'

/** May change while calls run. */
export interface PoolTuning extends SelectorOptions {
  /** A built-in policy, or one of the pool's `policies`. */
  readonly policy: string
  /** Where backends are asked how busy they are, by policies that ask; undefined: they are not. */
  readonly probePath?: string
  readonly retry: { readonly max: number; readonly budget: RetryBudgetOptions }
  /** Undefined: no second tries. */
  readonly hedge: HedgeOptions | undefined
  readonly outlier: OutlierOptions
  readonly limit: LimitOptions
  readonly queue: QueueOptions
  /** The pool may be at zero: calls that come then wait for its first backend. */
  readonly isFromZero: boolean
}

export interface PoolParts {
  readonly name: string
  readonly table: LoadTable
  /** What outlier detection counts, of all pools together: a slot is in one of them. */
  readonly state: OutlierState
  readonly clients: Clients
  /** Policies besides the built-in ones, by name. */
  readonly policies?: Readonly<Record<string, PolicyFactory>> | undefined
  readonly clock: Clock
  readonly random: () => number
}

export interface SelectionParts extends PoolParts {
  readonly limits: Limits
  readonly at: (slot: number) => Backend | undefined
}

export function createSelector(
  { table, clients, policies, clock, random, state, limits, at }: SelectionParts,
  tuning: PoolTuning,
): Selector {
  const now = () => clock.now()
  const { probePath: path } = tuning
  const asks = path === undefined ? {} : { prober: new HttpProber({ clients, clock, path, at }) }
  return new Selector(
    {
      table,
      policy: policyOf(tuning.policy, policies, { table, random, now }, asks),
      outliers: new Outliers({ table, state, random, now }, tuning.outlier),
      limits,
      clock,
    },
    tuning,
  )
}

function policyOf(
  name: string,
  own: PoolParts['policies'],
  context: PolicyContext,
  options: PolicyOptions,
): Policy {
  if (isPolicyName(name)) return createPolicy(name, context, options)
  const create = own?.[name]
  if (!create) throw new Error(`there is no balancing policy ${name}`)
  return create(context, options)
}
