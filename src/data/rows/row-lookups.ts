/**
 * The rows of one call and how each was answered. Equal rows of a call are one line of its sheet: they are
 * looked up, sent and paid for once.
 */
import type { Digest } from '../../core/key.ts'
import type { Reply, RowCounts } from '../../core/reply.ts'
import type { Row } from '../../protocol/protocol.ts'
import type { Entry } from '../cache/entry.ts'

export interface RowLookup {
  readonly row: Row
  entry: Entry | undefined
  /** Too old to answer, but better than an error. */
  fallback: Entry | undefined
  /** The tier that had it, or undefined for an answer that was fetched. */
  tier: string | undefined
  joined: boolean
  /** It was fetched, and could be kept nowhere. */
  notStored: boolean
  /** All that the backend said to this call. */
  leaderReply: Reply | undefined
}

export class RowLookups {
  readonly items: readonly RowLookup[]
  /** One a line. */
  readonly rows: readonly Row[]
  /** For each row of the call, its line. */
  readonly #order: readonly RowLookup[]
  /** Undefined: there is one line. */
  readonly #byDigest: ReadonlyMap<Digest, RowLookup> | undefined

  constructor(rows: readonly Row[]) {
    const [only] = rows
    if (only && rows.length === 1) {
      this.items = this.#order = [lookupOf(only)]
      this.rows = rows
      return
    }
    const items = new Map<Digest, RowLookup>()
    this.#order = rows.map((row) => {
      const lookup = items.get(row.digest) ?? lookupOf(row)
      items.set(row.digest, lookup)
      return lookup
    })
    this.items = [...items.values()]
    this.rows = this.items.map(({ row }) => row)
    this.#byDigest = items
  }

  /** The rows of these digests, in the caller's order. */
  rowsOf(digests: readonly Digest[]): readonly Row[] {
    const wanted = new Set(digests)
    return this.rows.filter(({ digest }) => wanted.has(digest))
  }

  /** Keeps an answer that is too old, for the case that there will be no other. */
  fallBack(digest: Digest, entry: Entry): void {
    const lookup = this.#byDigest ? this.#byDigest.get(digest) : this.items[0]
    if (lookup?.row.digest === digest) lookup.fallback ??= entry
  }

  /** Lines that have no answer yet, in the caller's order. */
  get missing(): readonly RowLookup[] {
    const [only] = this.items
    if (only && this.items.length === 1) return only.entry ? NONE : this.items
    return this.items.filter((lookup) => lookup.entry === undefined)
  }

  /** True when no row occurs twice: what is asked of a backend for all lines is the call as it came. */
  get isDistinct(): boolean {
    return this.items.length === this.#order.length
  }

  /** True when no answer was fetched. */
  get isKnown(): boolean {
    for (const { tier } of this.items) if (tier === undefined) return false
    return true
  }

  /** True when all that was fetched is kept somewhere. */
  get isStored(): boolean {
    for (const { notStored } of this.items) if (notStored) return false
    return true
  }

  /** The answers in the caller's order; undefined while one is missing. */
  entries(): readonly Entry[] | undefined {
    const [only] = this.#order
    if (only && this.#order.length === 1) return only.entry && [only.entry]
    const entries: Entry[] = []
    for (const lookup of this.#order) {
      if (!lookup.entry) return undefined
      entries.push(lookup.entry)
    }
    return entries
  }

  counts(): RowCounts {
    let hit = 0
    let join = 0
    for (const lookup of this.items) {
      if (lookup.tier !== undefined) hit++
      else if (lookup.joined) join++
    }
    return { hit, join, miss: this.items.length - hit - join, dup: this.#order.length - this.items.length }
  }
}

const NONE: readonly RowLookup[] = []

function lookupOf(row: Row): RowLookup {
  return {
    row,
    entry: undefined,
    fallback: undefined,
    tier: undefined,
    joined: false,
    notStored: false,
    leaderReply: undefined,
  }
}
