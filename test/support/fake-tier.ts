/** A small real Tier in memory, whose faults the test chooses operation by operation. Passes the Tier contract. */
import type { Digest } from '../../src/core/key.ts'
import { type LeaseAnswer, type LeaseTier, sha1Of } from '../../src/data/cache/tiers/lease-tier.ts'
import type { Tier } from '../../src/data/cache/tiers/tier.ts'
import { type Clock, systemClock } from '../../src/lib/clock.ts'

/** What happens to one operation; `garbage` gives a look-up bytes nobody stored, other operations fail. */
export type TierFault = 'none' | 'error' | 'throw' | 'hang' | 'garbage' | { readonly delayMs: number }

export interface FakeTierOptions {
  readonly name?: string
  readonly clock?: Clock
}

interface Kept {
  readonly value: Uint8Array
  readonly until: number
}

export class FakeTier implements Tier {
  readonly name: string
  readonly kept = new Map<Digest, Kept>()
  readonly facts_ = new Map<string, string>()
  readonly held = new Map<Digest, { readonly token: string; until: number }>()
  readonly leases: LeaseTier = this.#openLeases()
  /** Asked once for each operation. */
  fault: () => TierFault = () => 'none'
  /** Operations that reached the tier. */
  calls = 0
  /** Look-ups among them. */
  lookups = 0
  connected = true
  readonly #clock: Clock
  #closed = false

  constructor({ name = 'fake', clock = systemClock }: FakeTierOptions = {}) {
    this.name = name
    this.#clock = clock
  }

  getMany(digests: readonly Digest[]): Promise<(Uint8Array | undefined)[]> {
    this.lookups++
    return this.#act(
      () => digests.map((digest) => this.#read(digest)),
      () => digests.map(() => Buffer.from('nobody stored this')),
    )
  }

  set(digest: Digest, value: Uint8Array, ttlMs: number): Promise<void> {
    const kept = { value: Uint8Array.from(value), until: this.#clock.now() + ttlMs }
    return this.#act(() => void this.kept.set(digest, kept))
  }

  delete(digest: Digest): Promise<void> {
    return this.#act(() => {
      this.kept.delete(digest)
      this.held.delete(digest)
    })
  }

  claim(name: string, value: string): Promise<string> {
    return this.#act(() => {
      const present = this.facts_.get(name) ?? value
      this.facts_.set(name, present)
      return present
    })
  }

  facts(names: readonly string[]): Promise<(string | undefined)[]> {
    return this.#act(() => names.map((name) => this.facts_.get(name)))
  }

  publish(name: string, value: string): Promise<void> {
    return this.#act(() => void this.facts_.set(name, value))
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #openLeases(): LeaseTier {
    const holder = (digest: Digest) => {
      const held = this.held.get(digest)
      return held && held.until > this.#clock.now() ? held : undefined
    }
    const isHeld = (digest: Digest, token: string) => holder(digest)?.token === token
    return {
      acquire: (wants, token, ttlMs) =>
        this.#act(() =>
          wants.map(({ digest, not }): LeaseAnswer => {
            const value = this.#read(digest)
            if (value && sha1Of(value) !== not) return { kind: 'value', value }
            const held = holder(digest)
            if (held && held.token !== token) return { kind: 'held', by: held.token }
            if (!held) this.held.set(digest, { token, until: this.#clock.now() + ttlMs })
            return { kind: 'granted' }
          }),
        ),
      renew: (digests, token, ttlMs) =>
        this.#act(() =>
          digests.map((digest) => {
            if (!isHeld(digest, token)) return false
            this.held.set(digest, { token, until: this.#clock.now() + ttlMs })
            return true
          }),
        ),
      fill: (digest, token, value, ttlMs) =>
        this.#act(() => {
          if (!isHeld(digest, token)) return false
          this.held.delete(digest)
          this.kept.set(digest, { value: Uint8Array.from(value), until: this.#clock.now() + ttlMs })
          return true
        }),
      release: (digests, token) =>
        this.#act(() => {
          for (const digest of digests) if (isHeld(digest, token)) this.held.delete(digest)
        }),
    }
  }

  #read(digest: Digest): Uint8Array | undefined {
    const kept = this.kept.get(digest)
    return kept && kept.until > this.#clock.now() ? Uint8Array.from(kept.value) : undefined
  }

  #act<T>(run: () => T, garbage?: () => T): Promise<T> {
    this.calls++
    const fault = this.fault()
    if (fault === 'throw') throw new Error(`${this.name}: threw at once`)
    if (this.#closed) return Promise.reject(new Error(`${this.name}: closed`))
    if (fault === 'hang') return new Promise(() => {})
    if (fault === 'garbage' && garbage) return Promise.resolve(garbage())
    if (fault === 'error' || fault === 'garbage') return Promise.reject(new Error(`${this.name}: failed`))
    if (fault === 'none') return Promise.resolve().then(run)
    return new Promise((resolve) => void this.#clock.after(fault.delayMs, () => resolve(run())))
  }
}
