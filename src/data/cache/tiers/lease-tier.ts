/**
 * Leases, which a shared tier may offer: of many gateways that miss the same key one asks the backend, and the others wait
 * for its answer ("Scaling Memcache at Facebook", NSDI 2013, section 3.2.1).
 *
 * A lease is a token beside the value, with a time to live. Its holder writes the value with `fill`, which does nothing
 * where the lease has ended meanwhile. Deleting a key deletes its lease, so a load that began before a purge cannot store
 * its answer after it. A lease is advice, never a lock: who gets no answer loads without one.
 */
import { hash } from 'node:crypto'
import type { Digest } from '../../../core/key.ts'

export interface LeaseWant {
  readonly digest: Digest
  /** `sha1Of` the stored bytes of a value that the caller has seen and cannot use: the tier counts it as absent. */
  readonly not?: string | undefined
}

export type LeaseAnswer =
  /** `stored`: the bytes that the tier has, where the value was read from them; left out: they are the value. */
  | { readonly kind: 'value'; readonly value: Uint8Array; readonly stored?: Uint8Array }
  /** The caller is to load it, and holds the lease for as long as it renews it. */
  | { readonly kind: 'granted' }
  /** Another holder is loading it. */
  | { readonly kind: 'held'; readonly by: string }
  /** The tier cannot say: load without a lease. */
  | { readonly kind: 'none' }

export interface LeaseTier {
  /** For each key the value, or a lease for `token` where nobody holds one. One round trip for all. */
  acquire(wants: readonly LeaseWant[], token: string, ttlMs: number): Promise<LeaseAnswer[]>
  /** Prolongs the leases that `token` still holds; returns which those are. */
  renew(digests: readonly Digest[], token: string, ttlMs: number): Promise<boolean[]>
  /** Stores the value and ends the lease in one step; false, and nothing is stored, where `token` does not hold it. */
  fill(digest: Digest, token: string, value: Uint8Array, ttlMs: number): Promise<boolean>
  /** Ends the leases that `token` holds, without a value. */
  release(digests: readonly Digest[], token: string): Promise<void>
}

/** The name of an unwanted value: its SHA-1 in lower-case hexadecimal, which Redis can compute. */
export function sha1Of(value: Uint8Array): string {
  return hash('sha1', value, 'hex')
}
