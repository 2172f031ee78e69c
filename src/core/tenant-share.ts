/** What part of each pool a tenant may have. */
import type { Labels } from './labels.ts'

/** Classes of priority, the first first: a class is served before those after it. */
export const PRIORITIES = ['critical', 'standard', 'sheddable'] as const

export type Priority = (typeof PRIORITIES)[number]

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
  /** Labels that a backend must have to serve it; left out: any backend will do. */
  readonly labels?: Labels | undefined
}

/** A share as people write it; what is left out is as the schema says. */
export interface ShareSettings {
  readonly weight?: number | undefined
  readonly priority?: Priority | undefined
  readonly floor?: number | undefined
  readonly backends?: Labels | undefined
}

/** `tenant`: the empty string stands for all anonymous callers. */
export function shareOf(tenant: string, settings: ShareSettings): TenantShare {
  const { weight = 1, priority = 'standard', floor = 0, backends: labels } = settings
  return { tenant, weight, priority: PRIORITIES.indexOf(priority), floor, labels }
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
