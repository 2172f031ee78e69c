/**
 * Forwards a call past the cache: it goes to a backend as it came, and the answer returns as it arrives. Both bodies stream,
 * and a client who leaves cancels the backend's work. A call with only-if-cached is refused where its route caches: there
 * is no stored answer for a call that comes here. A call that loads or unloads a model is a deployment, and one that failed
 * may be: its caller is answered when the old answers are unreachable.
 */
import { type Call, header, isWhole, type RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Answer } from '../../core/reply.ts'
import { type Awaitable, after } from '../../lib/deferred.ts'
import { verdictOf } from '../../protocol/verdict.ts'
import { parseDirectives } from '../cache/directives.ts'
import { keepable, type Matched } from '../route/routes.ts'
import type { Dispatch, UpstreamResponse } from './upstream-call.ts'

export type Forward = (call: Call, matched: Matched, reason: string) => Awaitable<Answer>

export interface ForwardParts {
  readonly dispatch: Dispatch
  readonly outgoing: (call: Call) => RawPairs
  /** Resolves when the answers of the model stored until now are unreachable. Never rejects. */
  readonly redeployed: (pool: string, model: string) => Promise<void>
}

export function createForward({ dispatch, outgoing, redeployed }: ForwardParts): Forward {
  return (call, matched, reason) => {
    if (matched.route.cache && keepable(matched) && parseDirectives(call.headers).onlyIfCached)
      throw new GatewayError('notCached', 'no stored answer for this request (only-if-cached)')
    const pending = dispatch(call, matched, {
      body: hasBody(call) ? call.body : undefined,
      contentLength: lengthOf(call),
      headers: outgoing(call),
      key: undefined,
      signal: call.signal,
      collectBytes: 0,
    })
    const { deploys } = matched.target
    const known =
      deploys === undefined
        ? pending
        : deployed(pending, matched, () => redeployed(matched.route.pool, deploys))
    return after(known, ({ reply }) => ({
      reply,
      outcome: { kind: 'bypass', reason, status: reply.status },
    }))
  }
}

/** A refusal has changed nothing; a failure may have occurred after the change. */
async function deployed(
  pending: Awaitable<UpstreamResponse>,
  { protocol }: Matched,
  redeployed: () => Promise<void>,
): Promise<UpstreamResponse> {
  let isRefused = false
  try {
    const response = await pending
    const { kind, about } = verdictOf(protocol, response.reply)
    isRefused = kind === 'refused' || about === 'caller'
    return response
  } finally {
    if (!isRefused) await redeployed()
  }
}

/** Whether a body, even an empty one, is sent. */
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
