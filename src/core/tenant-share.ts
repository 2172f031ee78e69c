/** What part of each pool a tenant may have. */

/** Classes of priority, the first first: a class is served before those after it. */
export const PRIORITIES = ['critical', 'standard', 'sheddable'] as const

/** One object a tenant, made with the settings; calls refer to it. */
export interface TenantShare {
  /** The tenant, by the same name in all workers; the empty string: all callers, where there are no tenants. */
  readonly tenant: string
  /** The tenant's part relative to the others of its class; above 0. */
  readonly weight: number
  /** The index of its class in `PRIORITIES`. */
  readonly priority: number
  /** Places of each pool that others leave free for it. */
  readonly floor: number
}

/** Rows that are sent to a backend, and for whom. */
export interface Charge {
  readonly share: TenantShare
  /** Rows; a call that is not read into rows is one. */
  readonly cost: number
}

/** The one tenant where there are no others. */
export const EVERYBODY: TenantShare = { tenant: '', weight: 1, priority: 1, floor: 0 }

/** Of two who wait for the same, the share of the higher class; undefined: everybody's. */
export function moreUrgent(
  first: TenantShare | undefined,
  second: TenantShare | undefined,
): TenantShare | undefined {
  return (second ?? EVERYBODY).priority < (first ?? EVERYBODY).priority ? second : first
}
