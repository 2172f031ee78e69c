/**
 * A tier whose values and facts are sealed, for servers that others can write to. What is not rightly sealed is absent: a
 * value is a miss, and a fact is made anew. Facts have names of their own, so that gateways with and without a seal that
 * meet at one server do not undo each other's.
 */
import type { Digest } from '../../../core/key.ts'
import type { Seal } from '../../../lib/seal.ts'
import type { LeaseAnswer, LeaseTier } from './lease-tier.ts'
import type { Hints, Tier } from './tier.ts'

export interface TierSeals {
  readonly entries: Seal
  readonly facts: Seal
  /** Called for each value or fact that is not rightly sealed. */
  readonly unverified: () => void
}

export function sealTier(tier: Tier, seals: TierSeals): Tier {
  return new SealedTier(tier, seals)
}

class SealedTier implements Tier {
  readonly name: string
  readonly leases?: LeaseTier
  readonly hints?: Hints
  readonly #tier: Tier
  readonly #seals: TierSeals

  constructor(tier: Tier, seals: TierSeals) {
    this.name = tier.name
    this.#tier = tier
    this.#seals = seals
    if (tier.hints) this.hints = tier.hints
    if (tier.leases) this.leases = sealLeases(tier.leases, seals)
  }

  get connected(): boolean {
    return this.#tier.connected ?? true
  }

  get since(): number {
    return this.#tier.since ?? Number.NEGATIVE_INFINITY
  }

  get isDeciding(): boolean {
    return this.#tier.isDeciding ?? false
  }

  get trouble(): string {
    return this.#tier.trouble ?? 'not connected'
  }

  get missing(): string | undefined {
    return this.#tier.missing
  }

  get refusal(): string | undefined {
    return this.#tier.refusal
  }

  takes(digest: Digest, bytes: number): boolean {
    return this.#tier.takes?.(digest, bytes + this.#seals.entries.overhead) ?? true
  }

  async getMany(digests: readonly Digest[]): Promise<(Uint8Array | undefined)[]> {
    const values = await this.#tier.getMany(digests)
    return values.map((value, i) => value && opened(this.#seals, digests[i] as Digest, value))
  }

  async set(digest: Digest, value: Uint8Array, ttlMs: number): Promise<void> {
    await this.#tier.set(digest, this.#seals.entries.seal(digest, value), ttlMs)
  }

  delete(digest: Digest): Promise<void> {
    return this.#tier.delete(digest)
  }

  async claim(name: string, value: string): Promise<string> {
    const sealed = this.#sealed(name, value)
    const present = this.#opened(name, await this.#tier.claim(factOf(name), sealed))
    if (present !== undefined) return present
    await this.#tier.publish(factOf(name), sealed)
    return value
  }

  async facts(names: readonly string[]): Promise<(string | undefined)[]> {
    const values = await this.#tier.facts(names.map(factOf))
    return values.map((value, i) => this.#opened(names[i] as string, value))
  }

  publish(name: string, value: string): Promise<void> {
    return this.#tier.publish(factOf(name), this.#sealed(name, value))
  }

  close(): Promise<void> {
    return this.#tier.close()
  }

  #sealed(name: string, value: string): string {
    return this.#seals.facts.seal(name, Buffer.from(value)).toString('base64url')
  }

  #opened(name: string, text: string | undefined): string | undefined {
    if (text === undefined) return undefined
    const value = this.#seals.facts.open(name, Buffer.from(text, 'base64url'))
    if (!value) this.#seals.unverified()
    return value && Buffer.from(value).toString()
  }
}

const factOf = (name: string): string => `sealed/${name}`

/** Holders of leases are not sealed: a lease is advice, and whoever waits for one in vain loads without it. */
function sealLeases(leases: LeaseTier, seals: TierSeals): LeaseTier {
  return {
    async acquire(wants, token, ttlMs) {
      const answers = await leases.acquire(wants, token, ttlMs)
      return answers.map((answer, i): LeaseAnswer => {
        const digest = wants[i]?.digest
        if (answer.kind !== 'value' || digest === undefined) return answer
        // The caller, who cannot use nothing, asks again for another value than the one that is stored.
        return {
          kind: 'value',
          value: opened(seals, digest, answer.value) ?? NOTHING,
          stored: answer.value,
        }
      })
    },
    renew: (digests, token, ttlMs) => leases.renew(digests, token, ttlMs),
    fill: async (digest, token, value, ttlMs) =>
      leases.fill(digest, token, seals.entries.seal(digest, value), ttlMs),
    release: (digests, token) => leases.release(digests, token),
  }
}

const NOTHING = new Uint8Array(0)

function opened(
  { entries, unverified }: TierSeals,
  digest: Digest,
  sealed: Uint8Array,
): Uint8Array | undefined {
  const value = entries.open(digest, sealed)
  if (!value) unverified()
  return value
}
