/**
 * Records the calls of routes with a prediction log, where the pipeline has answered them. That is the one place: a fast path
 * of hits leaves every call that is due to be recorded to the pipeline. Recording delays no answer: of a whole answer the bytes
 * are copied as it goes out, and one that streams is collected beside its way to the client.
 */
import { type Call, isWhole, type WholeBody } from '../../core/call.ts'
import { Chunks } from '../../core/chunks.ts'
import type { Answer } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import { after, isAwaitable } from '../../lib/deferred.ts'
import { spokenStatus } from '../../protocol/grpc/status.ts'
import { parseDirectives } from '../cache/directives.ts'
import type { Matched } from '../route/routes.ts'
import type { Pipeline } from '../serve/pipeline.ts'
import { described } from './described.ts'
import { MAX_RECORD_BYTES, type Recorder } from './recorder.ts'

export interface RecordingParts {
  readonly answer: Pipeline
  readonly recorder: Recorder
  readonly clock: Pick<Clock, 'wall'>
}

export function recording({ answer, recorder, clock }: RecordingParts): Pipeline {
  return (call, matched, notes, tierMiss) => {
    const given = answer(call, matched, notes, tierMiss)
    if (!isRecorded(call, matched)) return given
    return isAwaitable(given)
      ? after(given, (later) => recorded(call, matched, later))
      : recorded(call, matched, given)
  }

  function recorded(call: Call, matched: Matched, answered: Answer): Answer {
    const { reply } = answered
    const status = spokenStatus(reply)
    if (status < 200 || status > 299) return answered
    const { name } = matched.route
    const record = (request: WholeBody, body: WholeBody) =>
      recorder.add(described(call, matched, answered, clock.wall()), request, body)
    if (!isWhole(call.body)) recorder.drop(name, 'size')
    else if (isWhole(reply.body)) record(call.body, reply.body)
    else {
      const collected = collecting(reply.body, call.body, { record, drop: (why) => recorder.drop(name, why) })
      return { ...answered, reply: { ...reply, body: collected } }
    }
    return answered
  }
}

/** Whether the call is in the sample of its route's log. `no-store` leaves nothing behind, so it is in none. */
function isRecorded(call: Call, { route, target }: Matched): boolean {
  if (route.log === undefined || !target.prediction) return false
  return !parseDirectives(call.headers).noStore && route.log.takes()
}

interface Ending {
  readonly record: (request: WholeBody, answer: WholeBody) => void
  readonly drop: (reason: 'size' | 'incomplete') => void
}

/** Passes a streaming body on, and records it once it is complete. */
async function* collecting(
  body: AsyncIterable<Uint8Array>,
  request: WholeBody,
  { record, drop }: Ending,
): AsyncGenerator<Uint8Array> {
  let pieces: Uint8Array[] | undefined = []
  let length = request.length
  let isComplete = false
  try {
    for await (const piece of body) {
      length += piece.length
      if (length > MAX_RECORD_BYTES) pieces = undefined
      pieces?.push(piece)
      yield piece
    }
    isComplete = true
  } finally {
    if (!isComplete) drop('incomplete')
    else if (pieces) record(request, new Chunks(pieces))
    else drop('size')
  }
}
