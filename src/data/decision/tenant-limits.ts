/** The limits of tenants: who may not go on, and how that is said. */
import { GatewayError } from '../../core/errors.ts'
import type { Identity } from '../../core/identity.ts'
import { lastOf } from '../../lib/memo.ts'
import type { Quota, RateLimit } from '../../lib/rate.ts'
import { type Account, accountOf, quickAccountOf } from './account-places.ts'
import type { LimitTable } from './limit-table.ts'
import type { QuotaTable } from './quota-table.ts'
import { TokenReservation } from './token-reservation.ts'

/** What is counted. */
type Unit = 'requests' | 'rows' | 'tokens'
/** What an account counts; `running`: requests to backends at a time. */
type Limited = Unit | 'running' | `${Unit}-quota`

const QUOTA_OF = { requests: 'requests-quota', rows: 'rows-quota', tokens: 'tokens-quota' } as const

export interface TenantTables {
  readonly limits: LimitTable
  readonly quotas: QuotaTable
}

export class TenantLimits {
  readonly #table: LimitTable
  readonly #quotas: QuotaTable
  /** The accounts of callers that come again. */
  readonly #accounts = new WeakMap<Identity, Map<Limited, Account>>()
  /** Who has used up the rate of requests, until when at least. */
  readonly #refused = new WeakMap<Identity, { readonly refusal: GatewayError; readonly until: number }>()

  constructor({ limits, quotas }: TenantTables) {
    this.#table = limits
    this.#quotas = quotas
  }

  /**
   * Charges calls; the refusal if the tenant has made too many. `caller`: the address of an anonymous one; `cost`: 0 asks whether
   * one more would be refused.
   */
  request(identity: Identity, caller: string, cost: number): GatewayError | undefined {
    const refused = this.#refused.get(identity)
    if (refused && this.#table.now() < refused.until) return refused.refusal
    return this.#charge(identity, caller, { unit: 'requests', cost })
  }

  /** Charges rows that are to be sent to a backend. */
  rows(identity: Identity, caller: string, cost: number): GatewayError | undefined {
    return this.#charge(identity, caller, { unit: 'rows', cost })
  }

  /** Reserves tokens for a call that is to be sent to a backend. `most`: what it may take. */
  tokens(identity: Identity, caller: string, most: number): TokenReservation | GatewayError {
    const quota = identity.tenant === '' ? undefined : identity.policy?.quota?.tokens
    const rate = identity.policy?.rate?.tokens
    const charge: UnitCharge = { unit: 'tokens', cost: most }
    const ofQuota = quota && { quota, account: this.#account(identity, '', QUOTA_OF.tokens) }
    const waitMs = ofQuota ? this.#quotas.reserve(ofQuota.account, ofQuota.quota, most) : 0
    if (quota && waitMs > 0) return this.#usedUp(quota, charge, waitMs)
    const refusal = this.#chargeRate(identity, caller, charge)
    if (refusal) {
      if (ofQuota) this.#quotas.settle(ofQuota.account, ofQuota.quota, { cost: most, used: 0 })
      return refusal
    }
    const ofRate = rate && { rate, account: this.#account(identity, caller, 'tokens') }
    return new TokenReservation({ limits: this.#table, quotas: this.#quotas }, { most, ofRate, ofQuota })
  }

  /** Counts a request to a backend in; returns its place for `leave`, or the refusal. */
  enter(identity: Identity, caller: string, most: number): number | GatewayError {
    return this.#table.enter(this.#account(identity, caller, 'running'), most) ?? CROWDED
  }

  leave(place: number): void {
    this.#table.leave(place)
  }

  #charge(identity: Identity, caller: string, charge: UnitCharge): GatewayError | undefined {
    const quota = identity.policy?.quota?.[charge.unit]
    if (!quota) return this.#chargeRate(identity, caller, charge)
    const exceeded = this.#chargeQuota(identity, quota, charge)
    if (exceeded) return exceeded
    const refusal = this.#chargeRate(identity, caller, charge)
    // A call that is refused is charged nothing.
    if (refusal) this.#chargeQuota(identity, quota, { ...charge, cost: -charge.cost })
    return refusal
  }

  #chargeRate(identity: Identity, caller: string, { unit, cost }: UnitCharge): GatewayError | undefined {
    const rates = identity.policy?.rate
    const rate = rates?.[unit]
    if (!rates || !rate) return undefined
    const { burst } = rates
    const waitMs = this.#table.charge(this.#account(identity, caller, unit), { rate, burst, cost })
    if (waitMs === 0) return undefined
    const refusal = tooMany(unit, rate, secondsOf(waitMs))
    // An anonymous identity is that of many callers.
    if (unit === 'requests' && identity.tenant !== '')
      this.#refused.set(identity, { refusal, until: this.#table.now() + Math.min(waitMs, HEARD_MS) })
    return refusal
  }

  /** Quotas are those of tenants: for each address there would be a count in the store. */
  #chargeQuota(identity: Identity, quota: Quota, { unit, cost }: UnitCharge): GatewayError | undefined {
    if (identity.tenant === '') return undefined
    const waitMs = this.#quotas.charge(this.#account(identity, '', QUOTA_OF[unit]), quota, cost)
    return waitMs === 0 ? undefined : this.#usedUp(quota, { unit }, waitMs)
  }

  #usedUp(quota: Quota, { unit }: Pick<UnitCharge, 'unit'>, waitMs: number): GatewayError {
    const { from, until } = this.#quotas.period(quota.per)
    return usedUp(unit, quota, { waitMs, ofMs: until - from })
  }

  #account(identity: Identity, caller: string, limited: Limited): Account {
    if (identity.tenant === '') return quickAccountOf(nameOf(identity, limited, `a${networkOf(caller)}`))
    const accounts = this.#accounts.get(identity) ?? new Map<Limited, Account>()
    const known = accounts.get(limited)
    if (known) return known
    const account = accountOf(nameOf(identity, limited, `t${identity.tenant}`))
    accounts.set(limited, account)
    this.#accounts.set(identity, accounts)
    return account
  }
}

interface UnitCharge {
  readonly unit: Unit
  readonly cost: number
}

/**
 * Tenants count for themselves, whatever policy they share; anonymous callers by their address. A rate is a part of the name, so
 * that another begins with a full bucket; of a quota only the calendar is, so that a changed one goes on with what was used.
 */
function nameOf({ policy }: Identity, limited: Limited, of: string): string {
  return `${limited} ${termsOf(policy, limited)} ${of}`
}

function termsOf(policy: Identity['policy'], limited: Limited): string {
  if (limited === 'running') return ''
  const quota = QUOTA_OF_NAME.get(limited)
  if (quota !== undefined) return policy?.quota?.[quota]?.per ?? ''
  const rate = policy?.rate?.[limited as Unit]
  return rate ? `${rate.count}/${rate.perMs}` : ''
}

const QUOTA_OF_NAME: ReadonlyMap<string, Unit> = new Map(
  Object.entries(QUOTA_OF).map(([unit, name]) => [name, unit as Unit]),
)

/** Whoever has an IPv6 address mostly has the whole /64 (RFC 6177), and would have as many buckets. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length)
  return [...groups, ...new Array<string>(missing).fill('0'), ...(tail ?? '').split(':')]
    .slice(0, 4)
    .join(':')
}

const CROWDED = new GatewayError('rateLimited', 'the tenant has as many requests running as it may', {
  retryAfterSeconds: 1,
  ofTenant: true,
  limit: 'concurrency',
})

const SECOND = 1000
/** Within it other gateways may leave more of the rate than they seemed to: a refusal is not repeated for longer without another look. */
const HEARD_MS = 100

/** One is remembered: whoever has used up a rate mostly asks again at once. */
const tooMany = lastOf((unit: Unit, { count, perMs }: RateLimit, seconds: number) =>
  refusalOf(
    { name: unit, count: Math.floor(count), ofMs: perMs, seconds },
    () => `the tenant has used up its ${unit}: ${count} in ${perMs / SECOND} s`,
  ),
)

function secondsOf(ms: number): number {
  return Math.max(1, Math.ceil(ms / SECOND))
}

function usedUp(
  unit: Unit,
  { count, per }: Quota,
  { waitMs, ofMs }: { readonly waitMs: number; readonly ofMs: number },
): GatewayError {
  const exceeded = { name: QUOTA_OF[unit], count, ofMs, seconds: secondsOf(waitMs) }
  return refusalOf(exceeded, () => `the tenant has used up its ${unit} of this ${per} (UTC): ${count}`)
}

interface Exceeded {
  readonly name: string
  readonly count: number
  readonly ofMs: number
  /** Until it may ask again. */
  readonly seconds: number
}

/** With the fields of draft-ietf-httpapi-ratelimit-headers-10. */
function refusalOf({ name, count, ofMs, seconds }: Exceeded, message: () => string): GatewayError {
  const key = `${name} ${count} ${ofMs} ${seconds}`
  const known = refusals.get(key)
  if (known) return known
  const refusal = new GatewayError('rateLimited', message(), {
    retryAfterSeconds: seconds,
    ofTenant: true,
    limit: name,
    fields: [
      'RateLimit-Policy',
      `"${name}";q=${count};w=${ofMs / SECOND}`,
      'RateLimit',
      `"${name}";r=0;t=${seconds}`,
      ...(name === 'tokens' ? ofTokens(count, seconds) : []),
    ],
  })
  if (refusals.size >= MAX_REFUSALS) refusals.clear()
  refusals.set(key, refusal)
  return refusal
}

/** The fields by which OpenAI's clients know it; only calls of its API take tokens. */
function ofTokens(count: number, seconds: number): string[] {
  return [
    'x-ratelimit-limit-tokens',
    String(count),
    'x-ratelimit-remaining-tokens',
    '0',
    'x-ratelimit-reset-tokens',
    `${seconds}s`,
  ]
}

/** Errors are made once: those that are refused must not cost more than those that are served. */
const refusals = new Map<string, GatewayError>()
const MAX_REFUSALS = 256
