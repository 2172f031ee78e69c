/**
 * What the backends of one pool offer under one model name, and which of its changes are a deployment. Pure: told
 * what each backend says, it keeps the evidence.
 *
 *   somebody offers what was not offered before          a deployment
 *   a backend says something else than it said            one, where the pool's offers changed with it
 *   the last one with an offer drains                     one: the offer was taken back on purpose
 *   a backend is lost, does not answer, says nothing      none: overload must not empty the cache that holds it off
 *   an answer is of another version than those before     one, where the backends do not name their versions themselves
 */

/** A version and the digest of its file, `2@sha256:…`; either may be empty. */
export type VersionOffer = string

/** What a statement means: `first` where nothing was known, `next` where it is another deployment. */
export type StatementMeaning = 'known' | 'first' | 'next'

/** What changes as a backend leaves: nothing, the evidence, or what is deployed although the evidence stays. */
export type RemovalEffect = 'none' | 'known' | 'new'

/** Stands for the backends of other gateways. */
const OTHERS = 0

export class Offering {
  /** Somebody was told of the evidence. */
  isReported = false
  /** By generation. */
  readonly #offers = new Map<number, readonly VersionOffer[]>()
  #evidence: ReadonlySet<VersionOffer> | undefined
  /** The version of each backend's last answer, by generation. */
  readonly #stated = new Map<number, string>()

  /** Undefined: nobody has said anything yet. */
  get evidence(): string | undefined {
    return this.#evidence && [...this.#evidence].sort().join(' ')
  }

  /** The versions that answers have said they are of; undefined: none has. */
  get stated(): readonly string[] | undefined {
    return this.#stated.size === 0 ? undefined : [...new Set(this.#stated.values())]
  }

  /** The versions in the evidence; undefined where one of the backends does not say its own. */
  get versions(): readonly string[] | undefined {
    if (!this.#evidence || this.#evidence.size === 0) return undefined
    const versions = [...this.#evidence].map((offer) => offer.slice(0, offer.indexOf('@')))
    return versions.includes('') ? undefined : [...new Set(versions)]
  }

  /** Takes note of what a backend offers; no offers: it is there, and does not tell. True: the evidence is new. */
  setOffers(generation: number, offers: readonly VersionOffer[]): boolean {
    const before = this.#offers.get(generation)
    if (before && sameOffers(before, offers)) return false
    // Nothing is available while one version is unloaded and the next not yet loaded.
    if (before && before.length > 0 && offers.length === 0) return false
    this.#offers.set(generation, offers)
    const union = this.#union()
    const isNews =
      this.#evidence === undefined ||
      offers.some((offer) => !this.#evidence?.has(offer)) ||
      before !== undefined
    return isNews && this.#setEvidence(union)
  }

  /**
   * An answer of this backend says of which version it is; `before`: what the one before said, as the teller remembers.
   * What other gateways have kept is told as of backend 0, and holds until one of ours has answered.
   */
  setStatement(generation: number, version: string, before: string | undefined): StatementMeaning {
    const last = this.#stated.get(generation) ?? before
    const known = new Set(this.#stated.values())
    if (generation !== OTHERS) this.#stated.delete(OTHERS)
    this.#stated.set(generation, version)
    if (last === version && known.has(version)) return 'known'
    const isNext = (last !== undefined && last !== version) || (known.size > 0 && !known.has(version))
    return isNext ? 'next' : 'first'
  }

  /** `drained`: it goes on purpose, and not because it was lost. */
  remove(generation: number, drained: boolean): RemovalEffect {
    const isNew = this.#removeStatement(generation, drained)
    if (!this.#offers.delete(generation) || !drained) return isNew ? 'new' : 'none'
    const union = this.#union()
    if (union.size > 0 && this.#setEvidence(union)) return 'known'
    return isNew ? 'new' : 'none'
  }

  /** True: with it goes a version that was answered. What was lost, and may come back, holds as before. */
  #removeStatement(generation: number, drained: boolean): boolean {
    const version = this.#stated.get(generation)
    const isLast = [...this.#stated.values()].filter((each) => each === version).length === 1
    if (drained || !isLast) this.#stated.delete(generation)
    return version !== undefined && drained && isLast && this.#stated.size > 0
  }

  #union(): Set<VersionOffer> {
    return new Set([...this.#offers.values()].flat())
  }

  #setEvidence(union: ReadonlySet<VersionOffer>): boolean {
    const known = this.#evidence
    if (known && known.size === union.size && [...union].every((offer) => known.has(offer))) return false
    this.#evidence = union
    return true
  }
}

function sameOffers(a: readonly VersionOffer[], b: readonly VersionOffer[]): boolean {
  return a.length === b.length && a.every((offer, i) => offer === b[i])
}
