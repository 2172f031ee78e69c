/** Reads along with another worker of the process that reads the same generation from a backend. */
import type { Digest } from '../../core/key.ts'
import type { Tiered } from '../cache/tiered.ts'
import type { Load } from '../flight/flights.ts'
import type { GenerationTable } from '../generation/generation-table.ts'
import { follow, type RequestRelay } from '../generation/relayed-generation.ts'
import type { LoadResult, LookupContext } from '../rows/lookup-context.ts'
import { waiterOf } from './waiter.ts'

export interface FollowParts {
  readonly cache: Pick<Tiered, 'passes'>
  readonly generations: Pick<GenerationTable, 'run'>
  readonly requestRelay: RequestRelay
}

/**
 * Lands the generation that the worker with this number reads, or is asking for; false: that one has none for those who
 * join. Rejects with the reason of the load's signal.
 */
export type Follow = (
  context: LookupContext,
  load: Load<LoadResult>,
  leader: { readonly digest: Digest; readonly worker: number },
) => Promise<boolean>

export function createFollow({ cache, generations, requestRelay }: FollowParts): Follow {
  return async (context, load, { digest, worker }) => {
    const { signal, deadline, share } = load
    const waiter = { ...waiterOf(context), deadline, share }
    const relayed = await follow(requestRelay, { digest, waiter, worker, signal })
    if (!relayed) return false
    const { reply, keep } = relayed
    const isJoinable = cache.passes(digest, context.began)
    const generation = generations.run(context, { reply, ms: 0 }, { isJoinable, isRelayed: true, keep })
    load.land(digest, { kind: 'running', generation, joined: true })
    return true
  }
}
