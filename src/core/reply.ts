import type { Body, RawPairs } from './call.ts'
import type { RowCounts } from './row-counts.ts'

/** One answer, from a cache, a backend or ourselves. */
export interface Reply {
  readonly status: number
  readonly headers: RawPairs
  readonly body: Body
  /** The fields behind the body, known once it has been read to its end; left out: there are none. */
  readonly trailers?: () => RawPairs
  /** Cached results about the head. The upstream client returns the same object for a head that it has seen before. */
  readonly notes?: ReplyNotes
  /** A fresh id (`freshId`) in the body: another caller who asks for the same gets the same reply with another in its place. */
  readonly ownId?: string
  /** For a generation that was given without a backend's work: the tokens that it would have taken, known when it has been read. */
  readonly saved?: () => TokenCounts | undefined
}

/** Tokens as the server counts them. */
export interface TokenCounts {
  readonly input: number
  readonly output: number
}

/** Results of parsing the head of a reply, cached so that repeated heads are not parsed again. */
export interface ReplyNotes {
  /** The fields that go to a client. */
  forwarded?: Fields
  /** The body is a stream of events, which is flushed at each event. */
  isStream?: boolean
  /** The fields that are kept with the answer. */
  kept?: RawPairs
  /** True where nothing in the head forbids storing it, whatever the route's policy is. */
  isPlain?: boolean
  /** The parsed caching fields. */
  said?: object
  /** The body's length as the head declares it; 0 where it does not. */
  declared?: number
}

/** Fields of an answer, and the forms of them that doors write, once they were needed. */
export interface Fields {
  readonly pairs: RawPairs
  lines?: { readonly text: string; readonly isDated: boolean }
  /** The field block of HTTP/2, without those of a connection. `isGrpc`: the status of a call of gRPC is among them. */
  block?: { readonly bytes: Uint8Array; readonly isDated: boolean; readonly isGrpc: boolean }
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
      /** Rows of the call; left out: one. So for the other kinds. */
      readonly rows?: number | undefined
    }
  | {
      readonly kind: 'miss'
      readonly stored: boolean
      readonly collapsed: boolean
      /** A stored answer existed but was stale. */
      readonly isStale?: boolean
      readonly status?: number
      /** How long what was stored stays fresh, in milliseconds. */
      readonly ttlMs?: number
      readonly rows?: number | undefined
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
      readonly rows?: number | undefined
    }
  /** The backends failed, and a stale answer was served instead. */
  | {
      readonly kind: 'stale'
      readonly tier: string
      readonly ageMs: number
      readonly status?: number
      readonly rows?: number | undefined
    }
  | { readonly kind: 'none' }

/** The kind of an outcome as people and metrics see it: `collapsed` is a miss that joined another call's. */
export function outcomeLabel(outcome: Outcome): string {
  return outcome.kind === 'miss' && outcome.collapsed ? 'collapsed' : outcome.kind
}

export interface Answer {
  readonly reply: Reply
  readonly outcome: Outcome
  /** The pool whose answer it is; left out: that of its route. */
  readonly pool?: string
  /** Why that pool has answered, and not the one that the call was for. */
  readonly fallback?: { readonly from: string; readonly reason: string }
}
