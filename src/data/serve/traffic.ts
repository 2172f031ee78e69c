/**
 * Which pool answers a call: that of its route, or the one that the route's split chooses for it. The pipeline has one pool at a
 * time, so that an answer is looked up, loaded and stored under the pool that gives it.
 */
import type { Answer } from '../../core/reply.ts'
import { type Awaitable, after, isAwaitable } from '../../lib/deferred.ts'
import { type Chosen, choosePool, isSplit } from '../route/choose-pool.ts'
import type { Pipeline, PoolPipeline } from './pipeline.ts'

export interface TrafficParts {
  readonly answer: PoolPipeline
  readonly random: () => number
}

export function createTraffic({ answer, random }: TrafficParts): Pipeline {
  return (call, matched, notes, tierMiss) => {
    const known = { notes, tierMiss }
    // What is gathered comes from all pools.
    if (!isSplit(matched) || matched.gathered) return answer(call, { matched, choice: undefined }, known)
    const chosen = choosePool(call, matched, random)
    const inPool = (found: Chosen) => withPool(answer(call, found, known), found)
    return isAwaitable(chosen) ? after(chosen, inPool) : inPool(chosen)
  }
}

function withPool(answering: Answer | Awaitable<Answer>, { matched }: Chosen): Answer | Awaitable<Answer> {
  const { pool } = matched.route
  return isAwaitable(answering) ? after(answering, (answer) => ({ ...answer, pool })) : { ...answering, pool }
}
