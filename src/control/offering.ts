/**
 * What the backends of one pool offer under one model name, and which of its changes are a deployment. Pure: told
 * what each backend says, it keeps the evidence.
 *
 *   somebody offers what was not offered before          a deployment
 *   a backend says something else than it said            one, where the pool's offers changed with it
 *   the last one with an offer drains                     one: the offer was taken back on purpose
 *   a backend is lost, does not answer, says nothing      none: overload must not empty the cache that holds it off
 */

/** A version and the digest of its file, `2@sha256:…`; either may be empty. */
export type Offer = string

export class Offering {
  /** By generation. */
  readonly #said = new Map<number, readonly Offer[]>()
  #known: ReadonlySet<Offer> | undefined

  /** Undefined: nobody has said anything yet. */
  get evidence(): string | undefined {
    return this.#known && [...this.#known].sort().join(' ')
  }

  /** The versions in the evidence; undefined where one of the backends does not say its own. */
  get versions(): readonly string[] | undefined {
    if (!this.#known || this.#known.size === 0) return undefined
    const versions = [...this.#known].map((offer) => offer.slice(0, offer.indexOf('@')))
    return versions.includes('') ? undefined : [...new Set(versions)]
  }

  /** Takes note of what a backend offers; no offers: it is there, and does not tell. True: the evidence is new. */
  say(generation: number, offers: readonly Offer[]): boolean {
    const before = this.#said.get(generation)
    if (before && sameOffers(before, offers)) return false
    // Nothing is available while one version is unloaded and the next not yet loaded.
    if (before && before.length > 0 && offers.length === 0) return false
    this.#said.set(generation, offers)
    const union = this.#union()
    const isNews =
      this.#known === undefined || offers.some((offer) => !this.#known?.has(offer)) || before !== undefined
    return isNews && this.#know(union)
  }

  /** `drained`: it goes on purpose, and not because it was lost. */
  leave(generation: number, drained: boolean): boolean {
    if (!this.#said.delete(generation) || !drained) return false
    const union = this.#union()
    return union.size > 0 && this.#know(union)
  }

  #union(): Set<Offer> {
    return new Set([...this.#said.values()].flat())
  }

  #know(union: ReadonlySet<Offer>): boolean {
    const known = this.#known
    if (known && known.size === union.size && [...union].every((offer) => known.has(offer))) return false
    this.#known = union
    return true
  }
}

function sameOffers(a: readonly Offer[], b: readonly Offer[]): boolean {
  return a.length === b.length && a.every((offer, i) => offer === b[i])
}
