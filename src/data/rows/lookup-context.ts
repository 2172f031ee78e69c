/** A call on its way through the cache, and what the loads for it end with. */
import type { Call, WholeBody } from '../../core/call.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { Plan, Row } from '../../protocol/protocol.ts'
import type { Directives } from '../cache/directives.ts'
import type { Entry } from '../cache/entry.ts'
import type { FoundFor } from '../decision/cache-decision.ts'
import type { FormPreference } from '../key/forms.ts'
import type { Seed } from '../key/keyer.ts'
import type { Matched } from '../route/routes.ts'
import type { RowLookups } from './row-lookups.ts'

/** A call on its way through the cache. */
export interface LookupContext extends FormPreference {
  readonly call: Call
  readonly matched: Matched
  readonly directives: Directives
  readonly body: WholeBody
  readonly plan: Plan
  /** The rows the call is answered from; undefined: as a whole. */
  readonly rows: readonly Row[] | undefined
  readonly seed: Seed
  /** Of seed and body as they came. */
  readonly raw: Digest
  /** The digest under which a byte-identical repeat is looked for: `raw`, unless the body names the model. */
  readonly repeat: Digest
  /** What is kept under `repeat` is for this; undefined: the digest says it. */
  readonly foundFor: FoundFor | undefined
  readonly lookups: RowLookups
  /** The cache's mark when the call came: what was removed by key since then is not kept from it. */
  readonly began: number
  /** The shared tiers were asked for the whole call just now, and do not have it. */
  readonly isTierMiss: boolean
}

/** The key under which a refusal of the call is kept and told; undefined: nobody else may hear it. */
export type RefusalOf = (context: Pick<LookupContext, 'call' | 'raw'>) => Digest | undefined

/** The shared tiers were asked for a whole call, and what they have does not answer. */
export interface TierMiss {
  /** Too old, but better than an error. */
  readonly fallback: Entry | undefined
}

/** What a flight lands with. */
export type LoadResult =
  | {
      readonly kind: 'entry'
      readonly entry: Entry /** Undefined: it was fetched. */
      readonly tier: string | undefined
      /** It was fetched by another worker. */
      readonly joined?: boolean
      /** It was fetched, and could be kept nowhere. */
      readonly notStored?: boolean
      /** All that the backend said, for who asked it. */
      readonly leaderReply?: Reply | undefined
    }
  /** Complete, not to be kept, and the same for all who asked: an error of the backend, say. */
  | {
      readonly kind: 'reply'
      readonly reply: Reply
      readonly partial: boolean
      /** Said of the caller's credentials or of its deadline, which others under the same key may not have. */
      readonly personal: boolean
      /** Who may be told the same: those of the same refusal key (undefined: nobody), or whoever waits for it. */
      readonly audience: Digest | 'all' | undefined
    }
  /** For the caller who leads the load alone: a stream, a cookie. */
  | { readonly kind: 'single'; take(): Reply | undefined; readonly partial: boolean }
  | { readonly kind: 'failed'; readonly error: GatewayError }
