/** A request whose tokens are counted: what it may take, and how its answer is read for what it has taken. */
import type { Call, RawPairs } from '../../core/call.ts'
import type { TokenCounts } from '../../core/reply.ts'
import type { Row, RowAnswer } from '../../protocol/protocol.ts'
import { Incoming } from '../backend/incoming.ts'
import { parseDirectives } from '../cache/directives.ts'
import type { Matched } from '../route/routes.ts'
import type { UpstreamRequest, UpstreamResponse } from '../upstream/upstream-call.ts'
import { shownResponse } from './shown-events.ts'

export interface SentTokens<T> {
  /** What the request may take. */
  readonly estimate: TokenCounts
  /** Called with the result; what it returns is asked when the backend has done with it. */
  readonly follow: (result: T) => () => TokenCounts
}

interface MeteredRequest {
  /** As it is sent: an answer that is encoded could not be read. */
  readonly request: UpstreamRequest
  /** What the caller gets of the answer: the server may have been asked for more than the caller has. */
  readonly shown?: ((response: UpstreamResponse) => UpstreamResponse) | undefined
  readonly tokens: SentTokens<UpstreamResponse>
}

/** Undefined: such requests take no tokens. */
export function meteredRequest(
  call: Call,
  { protocol }: Matched,
  request: UpstreamRequest,
): MeteredRequest | undefined {
  const meter = protocol.tokens
  const estimate = meter?.estimate(call, request.body)
  if (!meter || !estimate) return undefined
  const follow = ({ reply }: UpstreamResponse) => {
    const follower = meter.follow(reply, estimate)
    const { body } = reply
    // What the backend has sent counts, whether its caller still reads it or not.
    if (body instanceof Incoming) body.watch((piece) => follower.push(piece))
    else if (body instanceof Uint8Array) follower.push(body)
    return () => follower.tokens
  }
  const { body } = request
  // What is not sent as it came has been written by the dialect, which asks for all that it may.
  const mayAsk =
    body === call.body && body instanceof Uint8Array && !parseDirectives(call.headers).noTransform
  const asking = mayAsk ? meter.asking(call, body) : undefined
  const headers = plain(request.headers)
  return {
    request: { ...request, headers, body: asking?.body ?? body },
    shown: asking && ((response) => shownResponse(response, protocol, asking)),
    tokens: { estimate, follow },
  }
}

/** The same of rows that are sent with those of other callers. Undefined: they take no tokens. */
export function meteredRows<T>(
  { protocol }: Pick<Matched, 'protocol'>,
  rows: readonly Row[],
  answersIn: (result: T) => readonly RowAnswer[],
): SentTokens<T> | undefined {
  const meter = protocol.tokens
  if (!meter) return undefined
  const estimate = meter.estimateRows(rows)
  return {
    estimate,
    follow: (result) => () => {
      const answers = answersIn(result)
      return answers.length === 0 ? NONE : (meter.ofRows(answers) ?? estimate)
    },
  }
}

const NONE: TokenCounts = { input: 0, output: 0 }

function plain(headers: RawPairs): RawPairs {
  return headers.filter((_, i) => headers[i & ~1]?.toLowerCase() !== 'accept-encoding')
}
