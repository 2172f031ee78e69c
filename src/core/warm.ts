/** Calls that are asked again so that their answers are there before a caller asks: what is kept of them, and what came of it. */
import type { RawPairs } from './call.ts'
import type { Digest } from './key.ts'

/** A call as it may be asked again. No credential is in it. */
export interface WarmRequest {
  readonly method: string
  /** As the caller wrote it, without the query. */
  readonly path: string
  /** With its `?`, or the empty string. */
  readonly query: string
  /** The empty string: unknown. */
  readonly host: string
  /** The fields that decide the answer or say how the body is read. */
  readonly headers: RawPairs
  /** The caller in keys, as `Call.principal`. */
  readonly principal: string
  readonly body: Uint8Array
}

/** What is known of a call in the sample, without its body. */
export interface SampledCall {
  /** Of everything in the call: the same in all workers, before and after a deployment. */
  readonly id: Digest
  readonly model: string
  /** Calls for it, of which older ones count less. */
  readonly weight: number
  /** Backend milliseconds that its answer takes; 0: not known. */
  readonly costMs: number
}

/** Where a call is asked again. */
export interface WarmTarget {
  readonly route: string
  /** The pool that is asked; left out: the one that a caller's call would go to. */
  readonly pool?: string | undefined
  /** Only calls that would go to this pool anyway. */
  readonly only?: boolean | undefined
}

/** Why a call is not asked again. */
export type WarmSkip =
  /** Its caller's credentials went on to the backend, and nobody has kept them. */
  | 'credentials'
  /** Its caller's tenant may not make it any more. */
  | 'tenant'
  /** It goes to another route, or to none. */
  | 'route'
  /** The route does not lead to the pool. */
  | 'pool'
  /** Another pool of the split would get it. */
  | 'elsewhere'
  /** Its answer is not kept. */
  | 'uncacheable'
  /** Its body is longer than what is read in one piece. */
  | 'long'
  /** It is no call that can be read. */
  | 'unreadable'

/**
 * `stored`: asked, and its answer is kept; `present`: it was there; `refused`: the server has refused it; `unstored`: answered,
 * but the answer may not be kept; `failed`: no answer.
 */
export type WarmOutcome = 'stored' | 'present' | 'refused' | 'unstored' | 'failed'

export type WarmResult =
  | {
      readonly outcome: WarmOutcome
      /** Of a failure: the code of the fault, or the status. */
      readonly reason?: string | undefined
      /** Trying once more may succeed. */
      readonly isPassing?: boolean
    }
  | { readonly skipped: WarmSkip }

/** A call that was looked up, without counting it as a hit or changing what is kept. */
export type WarmFound =
  | { readonly skipped: WarmSkip }
  | { readonly isPresent: true }
  | {
      readonly isPresent: false
      /** Asks for what is missing. Never rejects. */
      ask(signal: AbortSignal): Promise<WarmResult>
    }
