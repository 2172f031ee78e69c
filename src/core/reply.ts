import type { Body, RawPairs } from './call.ts'

/** One answer, from a cache, a backend or ourselves. */
export interface Reply {
  readonly status: number
  readonly headers: RawPairs
  readonly body: Body
  /** The fields behind the body, known once it has been read to its end; left out: there are none. */
  readonly trailers?: () => RawPairs
  /** On the head; a client that sees the same head again gives the same notes. */
  readonly notes?: ReplyNotes
}

/** What was read from the head of a reply, so that nothing is worked out twice for heads that come again. */
export interface ReplyNotes {
  /** The fields that go to a client. */
  forwarded?: Fields
  /** Events are passed on as they happen. */
  isStream?: boolean
  /** The fields that are kept with the answer. */
  kept?: RawPairs
  /** Nothing in the head is against keeping it, whatever the route says. */
  isPlain?: boolean
  /** What it says of keeping it. */
  said?: object
  /** Bytes of the body as the head has them; 0 where it does not say. */
  declared?: number
}

/** Fields of an answer, and their lines once somebody has made them. */
export interface Fields {
  readonly pairs: RawPairs
  lines?: { readonly text: string; readonly isDated: boolean }
}

/**
 * What the cache did with a call: the facts behind Cache-Status (RFC 9211), Age and the metrics.
 * `hit` and `fwd` exclude each other.
 */
export type Outcome =
  | {
      readonly kind: 'hit'
      readonly tier: string
      readonly ageMs: number
      readonly ttlMs: number
      readonly detail?: string
    }
  | {
      readonly kind: 'miss'
      readonly stored: boolean
      readonly collapsed: boolean
      /** Something was kept, and too old. */
      readonly isStale?: boolean
      readonly status?: number
      /** How long what was stored stays fresh, in milliseconds. */
      readonly ttlMs?: number
    }
  | {
      readonly kind: 'partial'
      readonly stored: boolean
      readonly rows: RowCounts
      readonly ageMs: number
      readonly ttlMs: number
      readonly status?: number
    }
  | { readonly kind: 'bypass'; readonly reason: string; readonly status?: number }
  | {
      readonly kind: 'request'
      readonly reason: string
      readonly stored: boolean
      readonly status?: number
      readonly ttlMs?: number
    }
  /** Backends were asked and failed; an old answer was given instead. */
  | { readonly kind: 'stale'; readonly tier: string; readonly ageMs: number; readonly status?: number }
  | { readonly kind: 'none' }

/** How the rows of one call were answered; the four add up to the rows of the call. */
export interface RowCounts {
  readonly hit: number
  readonly join: number
  readonly miss: number
  readonly dup: number
}

export interface Answer {
  readonly reply: Reply
  readonly outcome: Outcome
}
