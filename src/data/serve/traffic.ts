/**
 * Which pool answers a call: that of its route, or the one that the route's split chooses for it; and, where that one cannot, the
 * next of the route's fallbacks. The pipeline has one pool at a time, so that an answer is looked up, loaded and stored
 * under the pool that gives it.
 */
import { type Call, isWhole } from '../../core/call.ts'
import type { Observer } from '../../core/observer.ts'
import type { Answer } from '../../core/reply.ts'
import { type Awaitable, after, isAwaitable } from '../../lib/deferred.ts'
import { letGo } from '../backend/incoming.ts'
import { Replay } from '../backend/replay.ts'
import type { UpstreamAdmission } from '../decision/upstream-admission.ts'
import { type Chosen, choosePool, isSplit } from '../route/choose-pool.ts'
import { type FallbackReason, fallbackReason, type PoolResult } from '../upstream/fallback.ts'
import type { Admittance, CallNotes, Pipeline, PoolPipeline } from './pipeline.ts'

export interface TrafficParts {
  readonly answer: PoolPipeline
  readonly upstream: Pick<UpstreamAdmission, 'payOnce'>
  readonly observer: Pick<Observer, 'fellBack'>
  readonly random: () => number
}

export function createTraffic({ answer, upstream, observer, random }: TrafficParts): Pipeline {
  return (call, matched, notes, tierMiss) => {
    const known = { notes, tierMiss }
    // What is gathered comes from all pools.
    if (matched.gathered) return answer(call, { matched, choice: undefined }, known)
    if (!isSplit(matched)) return answered(call, { matched, choice: undefined }, known)
    const chosen = choosePool(call, matched, random)
    const inPool = (found: Chosen) => withPool(answered(call, found, known), found)
    return isAwaitable(chosen) ? after(chosen, inPool) : inPool(chosen)
  }

  function answered(call: Call, chosen: Chosen, known: CallNotes): Answer | Awaitable<Answer> {
    const { fallback } = chosen.matched.route
    return fallback ? firstOf(call, chosen, known) : answer(call, chosen, known)
  }

  /** The answer of the pool, or of the first of its fallbacks that can give one; the last one's, whatever it is. */
  async function firstOf(call: Call, chosen: Chosen, known: CallNotes): Promise<Answer> {
    const { route, protocol, target } = chosen.matched
    const paid = upstream.payOnce(call)
    const admittance: Admittance = {}
    let result = await resultOf(call, chosen, { ...known, admittance })
    let reason: FallbackReason | undefined
    let from = chosen
    for (const next of route.fallback ?? []) {
      const why = mayAskAgain(call) ? fallbackReason(result, from.matched, call) : undefined
      if (!why) break
      if ('answer' in result) letGo(result.answer.reply.body)
      observer.fellBack(route.name, from.matched.route.pool, why)
      reason ??= why
      paid.again()
      from = { matched: { route: next, protocol, target }, choice: undefined }
      // Without the notes on the head: what is found by it is of the pool that it stands for.
      result = await resultOf(call, from, { notes: undefined, tierMiss: undefined, admittance })
    }
    if ('error' in result) throw result.error
    if (!reason) return result.answer
    return { ...result.answer, pool: from.matched.route.pool, fallback: { from: route.pool, reason } }
  }

  async function resultOf(call: Call, chosen: Chosen, known: CallNotes): Promise<PoolResult> {
    try {
      return { answer: await answer(call, chosen, known) }
    } catch (error) {
      return { error }
    }
  }
}

/** Whether somebody waits, and all of the call is here or comes again. */
function mayAskAgain({ signal, body }: Call): boolean {
  return !signal.aborted && (isWhole(body) || (body instanceof Replay && body.replayable))
}

function withPool(answering: Answer | Awaitable<Answer>, { matched }: Chosen): Answer | Awaitable<Answer> {
  const { pool } = matched.route
  return isAwaitable(answering) ? after(answering, (answer) => ({ pool, ...answer })) : { pool, ...answering }
}
