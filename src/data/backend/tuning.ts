/** A pool's settings, and the selector that is made from them. */
import type { Backend } from '../../core/backend.ts'
import type { WaitEnding } from '../../core/observer.ts'
import type { TenantShare } from '../../core/tenant-share.ts'
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

/** Settings that may change while calls run. */
export interface PoolTuning extends SelectorOptions {
  /** A built-in policy, or one of the pool's `policies`. */
  readonly policy: string
  /** Where backends are probed for their load, for policies that use it; undefined: they are not probed. */
  readonly probePath?: string
  /** The backends are asked for their load with every call. */
  readonly loadOnAnswers?: boolean
  /** The pieces of streams are counted, for a scaler that goes by tokens. */
  readonly countsTokens?: boolean
  readonly retry: { readonly max: number; readonly budget: RetryBudgetOptions }
  /** Undefined: no hedges. */
  readonly hedge: HedgeOptions | undefined
  readonly outlier: OutlierOptions
  readonly limit: LimitOptions
  readonly queue: QueueOptions
  /** Those of the tenants that have a floor, or may use some backends only. */
  readonly shares?: readonly TenantShare[]
  /** The pool may be at zero: calls that arrive then wait for its first backend. */
  readonly isFromZero: boolean
}

export interface PoolParts {
  readonly name: string
  readonly table: LoadTable
  /** The counts of outlier detection, for all pools together: each slot belongs to one pool. */
  readonly state: OutlierState
  readonly clients: Clients
  /** Policies besides the built-in ones, by name. */
  readonly policies?: Readonly<Record<string, PolicyFactory>> | undefined
  readonly clock: Clock
  readonly random: () => number
  /** As in `AdmissionQueueParts`. */
  readonly waited?: (ending: WaitEnding, ms?: number) => void
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
