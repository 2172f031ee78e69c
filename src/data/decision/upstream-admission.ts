/**
 * Whether a tenant may send rows to a backend: asked once before they are sent, wait for a place or wait for a batch, whatever
 * they are for. What is found in a cache, or fetched for somebody else, costs nothing here. A batch asks for each of its
 * callers before their rows go into it, so each tenant pays for its own rows, and one that may not holds up nobody.
 *
 * Tokens are reserved by what the call may take, and charged by what its answer has taken: all of it to whoever has sent the call,
 * be others given the same answer, and be they the only ones who still read it.
 */
import type { Call } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { type Identity, namedTenant } from '../../core/identity.ts'
import type { Observer } from '../../core/observer.ts'
import type { TokenCounts } from '../../core/reply.ts'
import { type Awaitable, after, Deferred, type Listener, subscribe } from '../../lib/deferred.ts'
import type { Dispatch, UpstreamResponse } from '../upstream/upstream-call.ts'
import { callerOf } from './admission.ts'
import { PaidRows } from './paid-rows.ts'
import type { TenantLimits } from './tenant-limits.ts'
import { meteredRequest, type SentTokens } from './token-meter.ts'

/** Rows of a call that are to be sent to a backend. */
export interface SentRows<T> {
  readonly rows: number
  readonly send: () => Awaitable<T>
  /** Settles when the backend has done with them; left out, or undefined: it has when the result is there. */
  readonly over?: (result: T) => Promise<void> | undefined
  /** Left out: they take none, or the tenant has no limit of them (`limitsTokens`). */
  readonly tokens?: SentTokens<T> | undefined
}

export class UpstreamAdmission {
  readonly #limits: TenantLimits
  readonly #observer: Pick<Observer, 'charged'>
  /** What was paid by calls that may go to several pools. */
  readonly #paid = new WeakMap<Call, PaidRows>()

  constructor(limits: TenantLimits, observer: Pick<Observer, 'charged'>) {
    this.#limits = limits
    this.#observer = observer
  }

  /** Lets the call pay for its rows once, whatever pools it is sent to; to be told of each further pool. */
  payOnce(call: Call): PaidRows {
    const paid = new PaidRows()
    this.#paid.set(call, paid)
    return paid
  }

  /** The same dispatch, within the limits of each call's tenant. */
  within(dispatch: Dispatch): Dispatch {
    return (call, matched, request) => {
      if (!isLimitedUpstream(call)) return dispatch(call, matched, request)
      const metered = limitsTokens(call) ? meteredRequest(call, matched, request) : undefined
      const send = () => dispatch(call, matched, metered?.request ?? request)
      const tokens = metered?.tokens
      const sent = this.admit<UpstreamResponse>(call, {
        rows: request.rows ?? 1,
        send,
        over: ({ over }) => over,
        tokens,
      })
      return metered?.shown ? after(sent, metered.shown) : sent
    }
  }

  /** Sends the rows, or fails with the refusal. They count as one request of the tenant until they are over. */
  admit<T>(call: Call, sent: SentRows<T>): Awaitable<T> {
    const { identity } = call
    if (!identity || !isLimitedUpstream(call)) return sent.send()
    const held = this.#hold(identity, call, sent)
    if (held instanceof GatewayError) return failed(held)
    if (!held) return sent.send()
    try {
      return new Counted(sent, held)
    } catch (error) {
      // Thrown where the pool is gone: a place that stayed taken would be missing for good.
      held.release(undefined)
      throw error
    }
  }

  /** Takes what the rows need; the refusal, if the tenant may not have it; undefined: nothing that is given back. */
  #hold<T>(
    identity: Identity,
    call: Call,
    { rows, tokens }: SentRows<T>,
  ): HeldLimits | GatewayError | undefined {
    const limits = this.#limits
    const caller = callerOf(call.principal, call.peer)
    const paid = this.#paid.get(call)
    const due = paid ? paid.due(rows) : rows
    const most = identity.policy?.concurrency
    const place = most === undefined ? undefined : limits.enter(identity, caller, most)
    if (place instanceof GatewayError) return place
    const asked = tokens && limits.tokens(identity, caller, sum(tokens.estimate))
    const isShort = asked instanceof GatewayError
    const reserved = isShort ? undefined : asked
    const shortage = isShort ? asked : undefined
    const refusal = shortage || due === 0 ? shortage : limits.rows(identity, caller, due)
    const release = (used: TokenCounts | undefined) => {
      if (place !== undefined) limits.leave(place)
      reserved?.settle(used ? sum(used) : 0)
    }
    if (refusal) release(undefined)
    else paid?.sent(rows)
    if (refusal || (place === undefined && !reserved)) return refusal
    return {
      release: (used) => {
        release(used)
        if (used) this.#observer.charged(namedTenant(identity) ?? '', used)
      },
    }
  }
}

/** Whether what the caller's tenant sends to backends is counted in any way. */
function isLimitedUpstream(call: Pick<Call, 'identity'>): boolean {
  const policy = call.identity?.policy
  if (!policy) return false
  const { concurrency, rate, quota } = policy
  return (
    concurrency !== undefined || rate?.rows !== undefined || quota?.rows !== undefined || limitsTokens(call)
  )
}

/** Whether the tokens of the caller's tenant are counted. */
export function limitsTokens({ identity }: Pick<Call, 'identity'>): boolean {
  const policy = identity?.policy
  return policy?.rate?.tokens !== undefined || policy?.quota?.tokens !== undefined
}

/** What running rows hold of their tenant's limits. */
interface HeldLimits {
  /** `used`: the tokens that they have taken; undefined: none, as for those that have failed. */
  release(used: TokenCounts | undefined): void
}

function sum({ input, output }: TokenCounts): number {
  return input + output
}

function failed<T>(refusal: GatewayError): Awaitable<T> {
  const result = new Deferred<T>()
  result.fail(refusal)
  return result
}

/** A result during which its request counts: until the answer's last byte, or its failure. */
class Counted<T> extends Deferred<T> implements Listener<T> {
  readonly #sent: SentRows<T>
  readonly #held: HeldLimits

  constructor(sent: SentRows<T>, held: HeldLimits) {
    super()
    this.#sent = sent
    this.#held = held
    subscribe(sent.send(), this)
  }

  onValue(result: T): void {
    const { over, tokens } = this.#sent
    const used = tokens?.follow(result)
    const release = () => this.#held.release(used?.())
    const end = over?.(result)
    if (end) end.then(release, release)
    else release()
    this.settle(result)
  }

  onError(error: unknown): void {
    this.#held.release(undefined)
    this.fail(error)
  }
}
