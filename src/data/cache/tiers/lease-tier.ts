/**
 * What a shared tier may offer besides values: leases, so that of many gateways that miss the same key one asks
 * the backend and the others wait for its answer ("Scaling Memcache at Facebook", NSDI 2013, section 3.2.1).
 *
 * A lease is a token beside the value, with a time to live. Who holds it writes the value with `fill`, which
 * does nothing where the lease has gone meanwhile: deleting a key deletes its lease, so an answer asked for before a
 * purge cannot land after it. A lease is advice, never a lock: whoever gets no answer loads for himself.
 */
import { hash } from 'node:crypto'
import type { Digest } from '../../../core/key.ts'

export interface LeaseWant {
  readonly digest: Digest
  /** `sha1Of` a value that the asker has seen and cannot use: it counts as absent. */
  readonly not?: string | undefined
}

export type LeaseAnswer =
  | { readonly kind: 'value'; readonly value: Uint8Array }
  /** It is ours to load, for as long as it is renewed. */
  | { readonly kind: 'granted' }
  /** Somebody else is loading it. */
  | { readonly kind: 'held'; readonly by: string }
  /** The tier cannot say: load without a lease. */
  | { readonly kind: 'none' }

export interface LeaseTier {
  /** For each want, the value, or a lease for `token` where nobody holds one. One round trip for all. */
  acquire(wants: readonly LeaseWant[], token: string, ttlMs: number): Promise<LeaseAnswer[]>
  /** Prolongs the leases that `token` still holds; says which those are. */
  renew(digests: readonly Digest[], token: string, ttlMs: number): Promise<boolean[]>
  /** Stores the value and ends the lease in one step; false, and nothing is stored, where `token` does not hold it. */
  fill(digest: Digest, token: string, value: Uint8Array, ttlMs: number): Promise<boolean>
  /** Ends the leases that `token` holds, without a value. */
  release(digests: readonly Digest[], token: string): Promise<void>
}

/** How a value is named that is not wanted: lower-case hexadecimal SHA-1, which Redis computes itself. */
export function sha1Of(value: Uint8Array): string {
  return hash('sha1', value, 'hex')
}
