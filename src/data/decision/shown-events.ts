/** A stream whose server was asked for more than its caller wants to know. */
import { headerAll } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { EventSplitter } from '../../lib/sse-reader.ts'
import type { AskingTokens, Protocol } from '../../protocol/protocol.ts'
import { Incoming } from '../backend/incoming.ts'
import { SharedBodyReader } from '../backend/shared-body.ts'
import { isStreamed } from '../cache/streamed.ts'
import { withoutByteFields } from '../http/headers.ts'
import type { UpstreamResponse } from '../upstream/upstream-call.ts'

/** An event is held until its end is there. */
const MAX_EVENT_BYTES = 16 << 20

/** The response as its caller gets it. */
export function shownResponse(
  response: UpstreamResponse,
  protocol: Protocol,
  { shown }: Pick<AskingTokens, 'shown'>,
): UpstreamResponse {
  const { reply } = response
  const { body } = reply
  const isEncoded = headerAll(reply.headers, 'content-encoding').length > 0
  if (reply.status !== 200 || isEncoded || !isStreamed(reply, protocol)) return response
  if (body instanceof Uint8Array)
    return { ...response, reply: { ...withoutByteFields(reply), body: shown(body) } }
  if (!(body instanceof Incoming)) return response
  const events = new SharedBodyReader(eventsOf(body, shown), () => body.cancel(LEFT))
  return { ...response, reply: { ...withoutByteFields(reply), body: events } }
}

async function* eventsOf(body: Incoming, shown: AskingTokens['shown']): AsyncGenerator<Uint8Array> {
  const splitter = new EventSplitter(MAX_EVENT_BYTES)
  try {
    for await (const piece of body) {
      const events = splitter.push(piece)
      const given = events && shown(events)
      if (given && given.length > 0) yield given
    }
    const rest = splitter.rest()
    if (rest.length > 0) yield rest
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new GatewayError('backendGarbled', `the backend sent ${error.message}`)
  }
}

const LEFT = new GatewayError('callerLeft', 'the caller has left')
