/** API keys, of which only hashes are known. */
import type { Digest } from '../../core/key.ts'
import type { Proof } from './proof.ts'

export interface ApiKey {
  /** `sha256:` and 64 hex digits of the key's bytes. */
  readonly hash: string
  readonly tenant: string
  /** Left out: the tenant. */
  readonly subject?: string | undefined
}

export class ApiKeys {
  readonly #known: ReadonlyMap<Digest, Proof>

  constructor(keys: readonly ApiKey[]) {
    this.#known = new Map(
      keys.map(({ hash, tenant, subject = tenant }) => [
        Buffer.from(hash.slice('sha256:'.length), 'hex').toString('latin1') as Digest,
        { tenant, subject, until: Number.POSITIVE_INFINITY },
      ]),
    )
  }

  /**
   * Takes the same time for every wrong key, as far as a caller can use it: what is compared are digests, and nobody can
   * choose the bytes of a digest.
   */
  find(digest: Digest): Proof | undefined {
    return this.#known.get(digest)
  }
}
