/** The limits of tenants: who may not go on, and how that is said. */
import { GatewayError } from '../../core/errors.ts'
import type { Identity } from '../../core/identity.ts'
import type { RateLimit } from '../../lib/rate.ts'
import { type Account, accountOf, type LimitTable } from './limit-table.ts'

/** What is limited; `running`: requests to backends at a time. */
type Unit = 'requests' | 'rows' | 'running'

export class TenantLimits {
  readonly #table: LimitTable
  /** The accounts of callers that come again, by unit. */
  readonly #accounts = new WeakMap<Identity, Map<Unit, Account>>()

  constructor(table: LimitTable) {
    this.#table = table
  }

  /** Charges a call; the refusal if the tenant has made too many. `caller`: the address of an anonymous one. */
  request(identity: Identity, caller: string): GatewayError | undefined {
    return this.#charge(identity, caller, { unit: 'requests', cost: 1 })
  }

  /** Charges rows that are to be sent to a backend. */
  rows(identity: Identity, caller: string, cost: number): GatewayError | undefined {
    return this.#charge(identity, caller, { unit: 'rows', cost })
  }

  /** Counts a request to a backend in; returns its place for `leave`, or the refusal. */
  enter(identity: Identity, caller: string, most: number): number | GatewayError {
    return this.#table.enter(this.#account(identity, caller, 'running'), most) ?? CROWDED
  }

  leave(place: number): void {
    this.#table.leave(place)
  }

  #charge(
    identity: Identity,
    caller: string,
    { unit, cost }: { readonly unit: 'requests' | 'rows'; readonly cost: number },
  ): GatewayError | undefined {
    const rates = identity.policy?.rate
    const rate = rates?.[unit]
    if (!rates || !rate) return undefined
    const { burst } = rates
    const waitMs = this.#table.charge(this.#account(identity, caller, unit), { rate, burst, cost })
    return waitMs === 0 ? undefined : tooMany(unit, rate, waitMs)
  }

  #account(identity: Identity, caller: string, unit: Unit): Account {
    if (identity.tenant === '') return accountOf(nameOf(identity, unit, `a${networkOf(caller)}`))
    const accounts = this.#accounts.get(identity) ?? new Map<Unit, Account>()
    const known = accounts.get(unit)
    if (known) return known
    const account = accountOf(nameOf(identity, unit, `t${identity.tenant}`))
    accounts.set(unit, account)
    this.#accounts.set(identity, accounts)
    return account
  }
}

/** Tenants count for themselves, whatever policy they share; anonymous callers by their address. */
function nameOf({ policy }: Identity, unit: Unit, of: string): string {
  const rate = unit === 'running' ? undefined : policy?.rate?.[unit]
  return `${unit} ${rate ? `${rate.count}/${rate.perMs}` : ''} ${of}`
}

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

/** The fields of draft-ietf-httpapi-ratelimit-headers-10. */
function tooMany(unit: 'requests' | 'rows', { count, perMs }: RateLimit, waitMs: number): GatewayError {
  const seconds = Math.max(1, Math.ceil(waitMs / SECOND))
  const known = refusals.get(`${unit} ${count} ${perMs} ${seconds}`)
  if (known) return known
  const refusal = new GatewayError(
    'rateLimited',
    `the tenant has used up its ${unit}: ${count} in ${perMs / SECOND} s`,
    {
      retryAfterSeconds: seconds,
      ofTenant: true,
      limit: unit,
      fields: [
        'RateLimit-Policy',
        `"${unit}";q=${Math.floor(count)};w=${perMs / SECOND}`,
        'RateLimit',
        `"${unit}";r=0;t=${seconds}`,
      ],
    },
  )
  if (refusals.size >= MAX_REFUSALS) refusals.clear()
  refusals.set(`${unit} ${count} ${perMs} ${seconds}`, refusal)
  return refusal
}

/** Errors are made once: those that are refused must not cost more than those that are served. */
const refusals = new Map<string, GatewayError>()
const MAX_REFUSALS = 256
