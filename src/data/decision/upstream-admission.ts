/**
 * Whether a tenant may send a request to a backend: asked once before a request is sent or waits for a place, whatever it is
 * for. What is found in a cache, or fetched for somebody else, costs nothing here.
 */
import type { Call } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { type Awaitable, Deferred, type Listener, subscribe } from '../../lib/deferred.ts'
import type { Dispatch, UpstreamResponse } from '../upstream/upstream-call.ts'
import { callerOf } from './admission.ts'
import type { TenantLimits } from './tenant-limits.ts'

/** The same dispatch, within the limits of each call's tenant. */
export function withinLimits(dispatch: Dispatch, limits: TenantLimits): Dispatch {
  return (call, matched, request) => {
    const { identity } = call
    const policy = identity?.policy
    const most = policy?.concurrency
    if (!identity || (most === undefined && !policy?.rate?.rows)) return dispatch(call, matched, request)
    const place = most === undefined ? undefined : limits.enter(identity, caller(call), most)
    if (place instanceof GatewayError) return failed(place)
    const refusal = limits.rows(identity, caller(call), request.rows ?? 1)
    if (refusal) {
      if (place !== undefined) limits.leave(place)
      return failed(refusal)
    }
    const response = dispatch(call, matched, request)
    return place === undefined ? response : new Counted(response, () => limits.leave(place))
  }
}

function caller({ principal, peer }: Call): string {
  return callerOf(principal, peer)
}

function failed(refusal: GatewayError): Awaitable<UpstreamResponse> {
  const response = new Deferred<UpstreamResponse>()
  response.fail(refusal)
  return response
}

/** A response during which its request counts: until the answer's last byte, or its failure. */
class Counted extends Deferred<UpstreamResponse> implements Listener<UpstreamResponse> {
  readonly #leave: () => void

  constructor(response: Awaitable<UpstreamResponse>, leave: () => void) {
    super()
    this.#leave = leave
    subscribe(response, this)
  }

  onValue(response: UpstreamResponse): void {
    if (response.over) response.over.then(this.#leave, this.#leave)
    else this.#leave()
    this.settle(response)
  }

  onError(error: unknown): void {
    this.#leave()
    this.fail(error)
  }
}
