/**
 * Whether a tenant may send rows to a backend: asked once before they are sent, wait for a place or wait for a batch, whatever
 * they are for. What is found in a cache, or fetched for somebody else, costs nothing here. A batch asks for each of its
 * callers before their rows go into it, so each tenant pays for its own rows, and one that may not holds up nobody.
 */
import type { Call } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { type Awaitable, Deferred, type Listener, subscribe } from '../../lib/deferred.ts'
import type { Dispatch, UpstreamResponse } from '../upstream/upstream-call.ts'
import { callerOf } from './admission.ts'
import type { TenantLimits } from './tenant-limits.ts'

/** Rows of a call that are to be sent to a backend. */
export interface SentRows<T> {
  readonly rows: number
  readonly send: () => Awaitable<T>
  /** Settles when the backend has done with them; left out, or undefined: it has when the result is there. */
  readonly over?: (result: T) => Promise<void> | undefined
}

export class UpstreamAdmission {
  readonly #limits: TenantLimits

  constructor(limits: TenantLimits) {
    this.#limits = limits
  }

  /** The same dispatch, within the limits of each call's tenant. */
  within(dispatch: Dispatch): Dispatch {
    return (call, matched, request) => {
      const send = () => dispatch(call, matched, request)
      return this.admit<UpstreamResponse>(call, { rows: request.rows ?? 1, send, over: ({ over }) => over })
    }
  }

  /** Sends the rows, or fails with the refusal. They count as one request of the tenant until they are over. */
  admit<T>(call: Call, { rows, send, over }: SentRows<T>): Awaitable<T> {
    const { identity } = call
    const policy = identity?.policy
    const most = policy?.concurrency
    if (!identity || (most === undefined && !policy?.rate?.rows && !policy?.quota?.rows)) return send()
    const limits = this.#limits
    const caller = callerOf(call.principal, call.peer)
    const place = most === undefined ? undefined : limits.enter(identity, caller, most)
    if (place instanceof GatewayError) return failed(place)
    const refusal = limits.rows(identity, caller, rows)
    if (refusal) {
      if (place !== undefined) limits.leave(place)
      return failed(refusal)
    }
    if (place === undefined) return send()
    const leave = () => limits.leave(place)
    try {
      return new Counted(send(), leave, over)
    } catch (error) {
      // Thrown where the pool is gone: a place that stayed taken would be missing for good.
      leave()
      throw error
    }
  }
}

function failed<T>(refusal: GatewayError): Awaitable<T> {
  const result = new Deferred<T>()
  result.fail(refusal)
  return result
}

/** A result during which its request counts: until the answer's last byte, or its failure. */
class Counted<T> extends Deferred<T> implements Listener<T> {
  readonly #leave: () => void
  readonly #over: SentRows<T>['over']

  constructor(result: Awaitable<T>, leave: () => void, over: SentRows<T>['over']) {
    super()
    this.#leave = leave
    this.#over = over
    subscribe(result, this)
  }

  onValue(result: T): void {
    const over = this.#over?.(result)
    if (over) over.then(this.#leave, this.#leave)
    else this.#leave()
    this.settle(result)
  }

  onError(error: unknown): void {
    this.#leave()
    this.fail(error)
  }
}
