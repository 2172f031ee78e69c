/**
 * Sends a call to a backend that has a place for it now: it does not wait, is not repeated and not hedged, and is no demand that a
 * scaler would meet. For copies, which whoever waits for a place comes before.
 */
import { GatewayError } from '../../core/errors.ts'
import { type Awaitable, after } from '../../lib/deferred.ts'
import type { BackendPool } from '../backend/pool.ts'
import { transportOf } from '../http/transport.ts'
import { Attempt, type AttemptParts } from './attempt.ts'
import type { AttemptResult, Dispatch, UpstreamResponse } from './upstream-call.ts'

export interface SendOnceParts extends AttemptParts {
  readonly pool: (name: string) => BackendPool
}

/** Thrown as they are: errors of copies are counted and shown to nobody, and a stack would be most of their cost. */
export const NO_PLACE = new GatewayError('overloaded', 'no backend has a place free', { unsent: true })
export const NO_BACKEND = new GatewayError('noBackend', 'no backend can answer the call', { unsent: true })

/** Fails with `NO_PLACE`, `NO_BACKEND`, or the failure of its attempt. The deadline is that of the call. */
export function createSendOnce(parts: SendOnceParts): Dispatch {
  return (call, matched, request) => {
    const { route, target, protocol } = matched
    const pool = parts.pool(route.pool)
    const transport = transportOf(request.headers)
    const { model, version } = target
    const { key, signal } = request
    const labels = call.identity?.policy?.backends
    const permit = pool.enterNow({
      model,
      version,
      transport,
      key,
      labels,
      deadline: call.deadline,
      signal,
    })
    if (typeof permit === 'string') throw permit === 'saturated' ? NO_PLACE : NO_BACKEND
    const attempt = new Attempt(parts, call, request, {
      pool,
      transport,
      permit,
      startedAt: permit.since,
      until: call,
      route,
      protocol,
    })
    return answered(attempt.start())
  }
}

function answered(attempt: Awaitable<AttemptResult>): Awaitable<UpstreamResponse> {
  return after(attempt, (result) => {
    if ('failure' in result) throw result.failure
    return result
  })
}
