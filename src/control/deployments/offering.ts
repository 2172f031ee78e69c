/**
 * What the backends of one pool offer under one model name, and which changes of it count as a new deployment. It does
 * no I/O: it is given what each backend says and keeps the evidence.
 *
 *   a backend offers what no backend offered before       a deployment
 *   a backend offers something else than before           one, if the pool's offers change with it
 *   the last backend with an offer drains                 one: the offer was withdrawn on purpose
 *   a backend is lost, does not answer, says nothing      none: overload must not empty the cache that absorbs it
 *   an answer is of another version than those before     one, if the backends do not name their versions themselves
 */

/** A version and the digest of its file, `2@sha256:…`; either may be empty. */
export type VersionOffer = string

/** What a backend says that it offers, at a time of the clock. */
export interface Offered {
  /** An empty list: it is reachable but names nothing. */
  readonly offers: readonly VersionOffer[]
  readonly at: number
  /** When the backend was added: until then it offered nothing. */
  readonly addedAt: number
}

/** What a statement means: `first` where nothing was known, `next` where it shows another deployment. */
export type StatementMeaning = 'known' | 'first' | 'next'

/** What changes when a backend is removed: nothing, the evidence, or the deployment although the evidence stays. */
export type RemovalEffect = 'none' | 'known' | 'new'

/** The generation that stands for the backends of other gateways. */
const OTHERS = 0

export class Offering {
  /** The evidence has been reported. */
  isReported = false
  /** When the backend whose offer made the evidence last offered something else; undefined: no evidence yet. */
  otherwiseAt: number | undefined
  /** What each backend offers, by generation, and when it last said so. */
  readonly #offers = new Map<number, { readonly offers: readonly VersionOffer[]; at: number }>()
  #evidence: ReadonlySet<VersionOffer> | undefined
  /** The version of each backend's last answer, by generation. */
  readonly #stated = new Map<number, string>()

  /** All offers as text; undefined before the first one. */
  get evidence(): string | undefined {
    return this.#evidence && [...this.#evidence].sort().join(' ')
  }

  /** The versions that answers have stated; undefined where none has. */
  get stated(): readonly string[] | undefined {
    return this.#stated.size === 0 ? undefined : [...new Set(this.#stated.values())]
  }

  /** The versions in the evidence; undefined where one of the backends does not say its own. */
  get versions(): readonly string[] | undefined {
    if (!this.#evidence || this.#evidence.size === 0) return undefined
    const versions = [...this.#evidence].map((offer) => offer.slice(0, offer.indexOf('@')))
    return versions.includes('') ? undefined : [...new Set(versions)]
  }

  /** Sets what a backend offers. Returns true where the evidence is new. */
  setOffers(generation: number, { offers, at, addedAt }: Offered): boolean {
    const before = this.#offers.get(generation)
    if (before && sameOffers(before.offers, offers)) {
      before.at = at
      return false
    }
    // Between the unloading of one version and the loading of the next the list is empty.
    if (before && before.offers.length > 0 && offers.length === 0) return false
    this.#offers.set(generation, { offers, at })
    const union = this.#union()
    const isNews =
      this.#evidence === undefined ||
      offers.some((offer) => !this.#evidence?.has(offer)) ||
      before !== undefined
    return isNews && this.#setEvidence(union, before?.at ?? addedAt)
  }

  /**
   * Records the version that an answer of this backend states; `before`: the version of its previous answer, as far as
   * the reporter knows. Statements in entries of other gateways are recorded for backend 0, until one of ours has
   * answered.
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

  /** Removes a backend. `drained`: on purpose, and not because it was lost. */
  remove(generation: number, drained: boolean): RemovalEffect {
    const isNew = this.#removeStatement(generation, drained)
    const removed = this.#offers.get(generation)
    this.#offers.delete(generation)
    if (!removed || !drained) return isNew ? 'new' : 'none'
    const union = this.#union()
    if (union.size > 0 && this.#setEvidence(union, removed.at)) return 'known'
    return isNew ? 'new' : 'none'
  }

  /** True where a version disappears with the backend. The version of a lost backend, which may come back, stays. */
  #removeStatement(generation: number, drained: boolean): boolean {
    const version = this.#stated.get(generation)
    const isLast = [...this.#stated.values()].filter((each) => each === version).length === 1
    if (drained || !isLast) this.#stated.delete(generation)
    return version !== undefined && drained && isLast && this.#stated.size > 0
  }

  #union(): Set<VersionOffer> {
    return new Set([...this.#offers.values()].flatMap(({ offers }) => offers))
  }

  #setEvidence(union: ReadonlySet<VersionOffer>, otherwiseAt: number): boolean {
    const known = this.#evidence
    if (known && known.size === union.size && [...union].every((offer) => known.has(offer))) return false
    this.#evidence = union
    this.otherwiseAt = otherwiseAt
    return true
  }
}

function sameOffers(a: readonly VersionOffer[], b: readonly VersionOffer[]): boolean {
  return a.length === b.length && a.every((offer, i) => offer === b[i])
}
