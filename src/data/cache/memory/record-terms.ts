/** What is said of a value that is stored in an arena. */
import type { Digest } from '../../../core/key.ts'

/** Until when a value is stored, and what a miss of it costs, as in `miss-cost.ts`. */
export interface Terms {
  readonly expiresAt: number
  readonly cost: number
  readonly now: number
}

/** A record that is taken back, as `restore` takes it; `meta`: as in `record-meta.ts`. */
export interface KeptRecord {
  readonly expiresAt: number
  readonly meta: number
}

export interface NewRecord extends KeptRecord {
  readonly digest: Digest
  readonly value: Uint8Array
  readonly tag: number
}
