/** The state of a call's look-up (`LookupContext`), and the results that its loads end with (`LoadResult`). */
import type { Call, WholeBody } from '../../core/call.ts'
import type { GatewayError } from '../../core/errors.ts'
import { type Digest, digestOf } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { Plan, Row } from '../../protocol/protocol.ts'
import type { Directives } from '../cache/directives.ts'
import type { Entry } from '../cache/entry.ts'
import type { FoundFor } from '../decision/cache-decision.ts'
import type { RunningGeneration } from '../generation/running-generation.ts'
import type { FormPreference } from '../key/forms.ts'
import type { Seed } from '../key/keyer.ts'
import type { Matched } from '../route/routes.ts'
import type { RowLookups } from './row-lookups.ts'

/** The state of a call's look-up in the cache. */
export interface LookupContext extends FormPreference {
  readonly call: Call
  readonly matched: Matched
  readonly directives: Directives
  readonly body: WholeBody
  readonly plan: Plan
  /** The rows the call is answered from; undefined: it is answered as a whole. */
  readonly rows: readonly Row[] | undefined
  readonly seed: Seed
  /** The digest that a byte-identical repeat is looked up by: of seed and body, or, where the body names the model, of head and body. */
  readonly repeat: Digest
  /** The route match that what is stored under `repeat` is for; undefined: the digest covers it. */
  readonly foundFor: FoundFor | undefined
  readonly lookups: RowLookups
  /** The cache's mark when the call arrived: an answer is not stored if its key was purged since. */
  readonly began: number
  /** The shared tiers were asked for the whole call already, and do not have it. */
  readonly isTierMiss: boolean
}

/** The digest of the seed and the body's bytes. */
export function rawOf({
  foundFor,
  seed,
  repeat,
}: Pick<LookupContext, 'foundFor' | 'seed' | 'repeat'>): Digest {
  return foundFor ? digestOf(seed.digest + repeat) : repeat
}

/** The key that a refusal of the call is stored and shared under; undefined: it is for this caller alone. */
export type RefusalOf = (
  context: Pick<LookupContext, 'call' | 'foundFor' | 'seed' | 'repeat'>,
) => Digest | undefined

/** The shared tiers were asked for a whole call, and have no entry that answers it. */
export interface TierMiss {
  /** A stale entry, to be given if the backends fail. */
  readonly fallback: Entry | undefined
}

/** The result that a flight lands with. */
export type LoadResult =
  | {
      readonly kind: 'entry'
      readonly entry: Entry
      /** The tier that had it; undefined: it was fetched. */
      readonly tier: string | undefined
      /** It was fetched by another worker. */
      readonly joined?: boolean
      /** It was fetched, and could not be stored. */
      readonly notStored?: boolean
      /** The backend's full reply, for the leader of the load. */
      readonly leaderReply?: Reply | undefined
    }
  /** A complete reply that is not stored and may be shared, such as a backend's error. */
  | {
      readonly kind: 'reply'
      readonly reply: Reply
      readonly partial: boolean
      /** It is about the caller's credentials or deadline, which other callers under the same key may not have. */
      readonly personal: boolean
      /** Which waiting callers may be given it: those with this refusal key (undefined: none), or all. */
      readonly audience: Digest | 'all' | undefined
    }
  /** Its events arrive; whoever waits reads them as they come. */
  | {
      readonly kind: 'running'
      readonly generation: RunningGeneration
      /** Another worker asked the backend for it. */
      readonly joined?: boolean
    }
  /** For the leader of the load alone: a stream, or a reply with a cookie. */
  | { readonly kind: 'single'; take(): Reply | undefined; readonly partial: boolean }
  | { readonly kind: 'failed'; readonly error: GatewayError }
