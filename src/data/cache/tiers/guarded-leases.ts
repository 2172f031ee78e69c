/**
 * The guard around a tier's leases, like that around its values: nothing rejects. A tier that is slow, away or wrong has no
 * leases to give, and every gateway loads without one.
 */
import type { Digest } from '../../../core/key.ts'
import type { LeaseAnswer, LeaseTier, LeaseWant } from './lease-tier.ts'

export type LeaseOp = 'acquire' | 'renew' | 'release'

export interface GuardedLeases {
  /** Milliseconds after which an `acquire` is given up. */
  readonly readTimeout: number
  /** All `none` where the tier cannot be asked. `budgetMs` shortens the deadline. */
  acquire(
    wants: readonly LeaseWant[],
    token: string,
    options: { readonly ttlMs: number; readonly budgetMs?: number },
  ): Promise<readonly LeaseAnswer[]>
  /** Which leases are still ours; undefined: the tier could not be asked. */
  renew(digests: readonly Digest[], token: string, ttlMs: number): Promise<readonly boolean[] | undefined>
  /** False: not stored, since the lease has ended or the tier could not be asked. */
  fill(digest: Digest, token: string, value: Uint8Array, ttlMs: number): Promise<boolean>
  release(digests: readonly Digest[], token: string): Promise<boolean>
}

/** One operation under the guard's breaker and deadline; undefined: not done. */
export type LeaseAttempt = <T>(attempt: {
  readonly op: LeaseOp | 'set'
  readonly ms: number
  readonly run: () => Promise<T>
  readonly outcomeOf?: (value: T) => 'hit' | 'miss'
}) => Promise<{ readonly value: T } | undefined>

export function guardLeases(
  tier: LeaseTier,
  options: {
    readonly attempt: LeaseAttempt
    readonly readTimeout: number
    readonly writeTimeout: number
    readonly maxEntryBytes: number
  },
): GuardedLeases {
  const { attempt, readTimeout, writeTimeout, maxEntryBytes } = options
  return {
    readTimeout,
    async acquire(wants, token, { ttlMs, budgetMs = readTimeout }) {
      const acquired = await attempt({
        op: 'acquire',
        ms: Math.min(budgetMs, readTimeout),
        run: async () => fitting(await tier.acquire(wants, token, ttlMs), wants.length),
        outcomeOf: (answers) => (answers.some(({ kind }) => kind === 'value') ? 'hit' : 'miss'),
      })
      return acquired?.value ?? wants.map(() => ({ kind: 'none' }))
    },
    async renew(digests, token, ttlMs) {
      const run = async () => fitting(await tier.renew(digests, token, ttlMs), digests.length)
      return (await attempt({ op: 'renew', ms: writeTimeout, run }))?.value
    },
    async fill(digest, token, value, ttlMs) {
      if (value.length > maxEntryBytes) return false
      const run = () => tier.fill(digest, token, value, ttlMs)
      // The observer counts it as a write.
      return (await attempt({ op: 'set', ms: writeTimeout, run }))?.value === true
    },
    async release(digests, token) {
      const run = () => tier.release(digests, token)
      return (await attempt({ op: 'release', ms: writeTimeout, run })) !== undefined
    },
  }
}

function fitting<T>(answers: readonly T[], count: number): readonly T[] {
  if (Array.isArray(answers) && answers.length === count) return answers
  throw new Error('the answer does not fit the keys')
}
