/** Who sends a call, as its credentials prove it, and what the tenant may have. */
import type { Quota, RateLimit } from '../lib/rate.ts'
import type { ShareSettings, TenantShare } from './tenant-share.ts'

/** What a tenant may have, as plain data; what is left out is not limited. */
export interface TenantSettings extends ShareSettings {
  readonly rate?: TenantRate | undefined
  readonly quota?: TenantQuota | undefined
  /** The most requests to backends at a time. */
  readonly concurrency?: number | undefined
  /** Names of models, `*` for one or more characters. */
  readonly models?: readonly string[] | undefined
}

export interface TenantRate {
  /** Calls, however they are answered. */
  readonly requests?: RateLimit | undefined
  /** Rows that are sent to backends. */
  readonly rows?: RateLimit | undefined
  /** Tokens that backends have taken. */
  readonly tokens?: RateLimit | undefined
  /** How much of the rate may be used at once, in milliseconds of it. */
  readonly burst: number
}

/** What a tenant may use in a day or month of the UTC calendar. */
export interface TenantQuota {
  /** Calls, however they are answered. */
  readonly requests?: Quota | undefined
  /** Rows that are sent to backends. */
  readonly rows?: Quota | undefined
  /** Tokens that backends have taken. */
  readonly tokens?: Quota | undefined
}

/** The settings of a tenant, or of all that the settings do not name. */
export interface TenantPolicy extends Omit<TenantSettings, 'models'> {
  /** As the settings name it; `*`: it is not named. */
  readonly name: string
  /** Left out: any model, known or not. */
  readonly mayUse?: ((model: string) => boolean) | undefined
}

/** A caller that is known, or known to be anonymous. */
export interface Identity {
  /** The empty string: anonymous. */
  readonly tenant: string
  readonly subject: string
  /** Tenant and subject as a part of keys; the empty string: anonymous. No credential is in it, so a new one keeps the cache. */
  readonly principal: string
  /** Undefined: the settings limit no tenants. */
  readonly policy: TenantPolicy | undefined
  /** Its part of each pool, the same object for all calls of a tenant; undefined: there are no tenants. */
  readonly share?: TenantShare | undefined
  /** Words of the claim that grants something at the admin port; left out: it was not looked at, or there are none. */
  readonly scopes?: readonly string[]
}

/** The tenant as the settings name it, `*` if they do not: what is counted by it has as many names as they have. Undefined: nobody was asked. */
export function namedTenant(identity: Identity | undefined): string | undefined {
  return identity && (identity.policy?.name ?? '*')
}

/** Tenant and subject in one text, each with its length in front: no two pairs give the same. */
export function principalFor(tenant: string, subject: string): string {
  return `t${tenant.length}:${tenant}${subject.length}:${subject}`
}

/** The tenant and subject of such a text; undefined: it is none, or something stands behind it. */
export function partiesOf(
  principal: string,
): { readonly tenant: string; readonly subject: string } | undefined {
  const [, length = ''] = /^t(\d{1,6}):/.exec(principal) ?? []
  const from = length.length + 2
  const tenant = principal.slice(from, from + Number(length))
  const rest = principal.slice(from + Number(length))
  const subject = rest.slice(rest.indexOf(':') + 1)
  return length !== '' && principalFor(tenant, subject) === principal ? { tenant, subject } : undefined
}
