/**
 * Past the cache: the call goes to a backend as it came, and the answer comes back as it arrives. Both bodies
 * stream, and a client who leaves cancels the backend's work. Who wants a kept answer or none gets none where
 * answers are kept: whatever it is that brings the call here, there is none for it.
 */
import { type Call, header, isWhole, type RawPairs } from '../core/call.ts'
import { GatewayError } from '../core/errors.ts'
import type { Answer } from '../core/reply.ts'
import { after, type Coming } from '../lib/later.ts'
import { parseDirectives } from './cache/directives.ts'
import { keepable, type Matched } from './ingress/routes.ts'
import type { Dispatch } from './shipment.ts'

export type Forward = (call: Call, matched: Matched, reason: string) => Coming<Answer>

export function createForward(dispatch: Dispatch, outgoing: (call: Call) => RawPairs): Forward {
  return (call, matched, reason) => {
    if (matched.route.cache && keepable(matched) && parseDirectives(call.headers).onlyIfCached)
      throw new GatewayError('notCached', 'no stored answer for this request (only-if-cached)')
    const delivered = dispatch(call, matched, {
      body: hasBody(call) ? call.body : undefined,
      contentLength: lengthOf(call),
      headers: outgoing(call),
      key: undefined,
      signal: call.signal,
      collectBytes: 0,
    })
    return after(delivered, ({ reply }) => ({
      reply,
      outcome: { kind: 'bypass', reason, status: reply.status },
    }))
  }
}

/** Whether a body goes along, if an empty one. */
export function hasBody(call: Call): boolean {
  if (call.body instanceof Uint8Array)
    return call.body.length > 0 || header(call.headers, 'content-length') !== undefined
  return true
}

function lengthOf(call: Call): number | undefined {
  if (isWhole(call.body)) return undefined
  const length = header(call.headers, 'content-length')
  return length === undefined ? undefined : Number(length)
}
