/**
 * Past the cache: the call goes to a backend as it came, and the answer comes back as it arrives. Both bodies
 * stream, and a client who leaves cancels the backend's work. Who wants a kept answer or none gets none where
 * answers are kept: whatever it is that brings the call here, there is none for it. A call that loads or unloads a model
 * is a deployment, and one whose outcome nobody knows may be: its caller is answered when the old answers are out of reach.
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
  /** Resolves when what was kept of the model until now is out of reach. Never rejects. */
  readonly redeployed: (pool: string, model: string) => Promise<void>
}

export function createForward({ dispatch, outgoing, redeployed }: ForwardParts): Forward {
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
    const { deploys } = matched.target
    const known =
      deploys === undefined
        ? delivered
        : deployed(delivered, matched, () => redeployed(matched.route.pool, deploys))
    return after(known, ({ reply }) => ({
      reply,
      outcome: { kind: 'bypass', reason, status: reply.status },
    }))
  }
}

/** A refusal has changed nothing; a failure may have come behind the change. */
async function deployed(
  delivered: Awaitable<UpstreamResponse>,
  { protocol }: Matched,
  redeployed: () => Promise<void>,
): Promise<UpstreamResponse> {
  let isRefused = false
  try {
    const come = await delivered
    const { kind, about } = verdictOf(protocol, come.reply)
    isRefused = kind === 'refused' || about === 'caller'
    return come
  } finally {
    if (!isRefused) await redeployed()
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
