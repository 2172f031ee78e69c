/**
 * Sends copies of calls that go to a backend to a second pool, whose answers nobody gets. A copy begins when its call has been answered, so
 * that it takes nothing from it, and what it needs is bounded (`mirror-limits.ts`).
 *
 * Copied are predictions, generations and explanations of a known dialect, and whatever goes to an opaque route; never a call
 * that says `no-store`, one that changes a model server or may not be sent twice, or a stream of gRPC.
 */
import { type Call, isWhole, type WholeBody } from '../../core/call.ts'
import { Deferred, type Listener, subscribe } from '../../lib/deferred.ts'
import { isDone, verdictOf } from '../../protocol/verdict.ts'
import { REPLAY_BYTES, Replay } from '../backend/replay.ts'
import { parseDirectives } from '../cache/directives.ts'
import { transportOf } from '../http/transport.ts'
import type { Matched, Route } from '../route/routes.ts'
import type { Dispatch, UpstreamRequest, UpstreamResponse } from '../upstream/upstream-call.ts'
import { ComparableAnswer } from './comparable.ts'
import { type CopyParts, sendCopy } from './copy.ts'

export interface MirrorParts extends CopyParts {
  readonly random: () => number
}

/** Returns a function that gives a dispatch which sends copies as well. */
export function createMirroring(parts: MirrorParts): (dispatch: Dispatch) => Dispatch {
  return (dispatch) => (call, matched, request) => {
    const { mirror, pool } = matched.route
    const to = mirror?.draw(pool, parts.random)
    if (!mirror || !to || !mayCopy(call, matched, request)) return dispatch(call, matched, request)
    const refusal = parts.limits.refusal(to.pool, parts.clock.now())
    if (refusal) {
      parts.usage.drop(to.name, to.pool, refusal)
      return dispatch(call, matched, request)
    }
    const kept = keepingBody(request)
    const mirrored = new MirroredCall(parts, { call, matched, to, compares: mirror.compares, ...kept })
    subscribe(dispatch(call, matched, kept.request), mirrored)
    return mirrored
  }
}

function mayCopy(call: Call, { route, protocol, target }: Matched, { headers }: UpstreamRequest): boolean {
  if (!route.pure || target.manages || target.deploys !== undefined || call.isUpgrade) return false
  // What is called over gRPC on an opaque route may be a conversation.
  const isOpaque = protocol.name === 'opaque' && transportOf(headers) === 'http'
  const isCopied = target.prediction || target.isKeepable === true || GENERATIONS.has(target.verb) || isOpaque
  return isCopied && !parseDirectives(call.headers).noStore
}

/** Verbs of dialects that are no predictions to a cache, since their answers are drawn at random. */
const GENERATIONS = new Set(['generate', 'generate_stream', 'explain'])

interface KeptBody {
  readonly request: UpstreamRequest
  /** Of a body that streams. */
  readonly replay: Replay | undefined
}

/** The request, with a body that is still there when the call has been answered. */
function keepingBody(request: UpstreamRequest): KeptBody {
  const { body } = request
  if (body === undefined || isWhole(body)) return { request, replay: undefined }
  const replay = body instanceof Replay ? body : new Replay(body, REPLAY_BYTES)
  return { request: { ...request, body: replay }, replay }
}

interface CopiedCall extends KeptBody {
  readonly call: Call
  readonly matched: Matched
  readonly to: Route
  readonly compares: boolean
}

/** A call whose copy is sent once it has been answered. */
class MirroredCall extends Deferred<UpstreamResponse> implements Listener<UpstreamResponse> {
  readonly #parts: MirrorParts
  readonly #of: CopiedCall

  constructor(parts: MirrorParts, of: CopiedCall) {
    super()
    this.#parts = parts
    this.#of = of
  }

  onValue(response: UpstreamResponse): void {
    const { matched, compares } = this.#of
    const verdict = verdictOf(matched.protocol, response.reply)
    const isCompared = compares && isDone(verdict) && verdict.kind !== 'other'
    const answer = isCompared ? ComparableAnswer.of(response, matched.protocol) : undefined
    // The caller first: whoever listens writes the answer in this turn.
    this.settle(response)
    if (isDone(verdict)) this.#send(response, answer)
    else this.#drop('unanswered')
  }

  onError(error: unknown): void {
    this.fail(error)
    this.#drop('unanswered')
  }

  #send({ ms }: UpstreamResponse, answer: ComparableAnswer | undefined): void {
    const { replay, request } = this.#of
    const body = replay ? replay.whole : (request.body as WholeBody | undefined)
    if (replay && !body) return this.#drop('streamed')
    sendCopy(this.#parts, { ...this.#of, body, primary: { ms, answer } })
  }

  #drop(why: 'unanswered' | 'streamed'): void {
    const { to } = this.#of
    this.#parts.usage.drop(to.name, to.pool, why)
  }
}
