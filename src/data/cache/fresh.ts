/** Whether answers are there, without a trace of the look-up: it is counted nowhere, and nothing is copied or kept longer for it. */
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'
import { decode, remainingMs } from './entry.ts'
import type { Fence } from './fence.ts'
import type { Memory } from './memory/memory.ts'
import type { GuardedTier } from './tiers/guard.ts'

export interface FreshParts {
  readonly memory: Memory | undefined
  readonly tiers: readonly GuardedTier[]
  readonly fence: Fence
  readonly clock: Clock
}

/** In the order of the digests. A tier that cannot be asked has nothing. */
export async function areFresh(
  { memory, tiers, fence, clock }: FreshParts,
  digests: readonly Digest[],
): Promise<boolean[]> {
  const isFresh = (digest: Digest, bytes: Uint8Array | undefined) => {
    const entry = bytes && decode(bytes, digest)
    return entry !== undefined && remainingMs(entry, clock.wall()) > 0
  }
  const fresh = digests.map((digest) => isFresh(digest, memory?.look(digest)))
  for (const tier of tiers) {
    const missing = digests.flatMap((digest, i) => (fresh[i] ? [] : [{ digest, i }]))
    if (missing.length === 0) break
    const keys = missing.map(({ digest }) => digest)
    const values = await tier.getMany(keys, tier.readTimeout)
    for (const [at, { digest, i }] of missing.entries())
      fresh[i] = isFresh(digest, values[at]) && !fence.bars(digest, tier)
  }
  return fresh
}
