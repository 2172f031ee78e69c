/**
 * The rows of one call, and how each was answered. Equal rows of a call share one look-up, so they are looked up, sent and
 * counted once.
 */
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { RowCounts } from '../../core/row-counts.ts'
import type { Row } from '../../protocol/protocol.ts'
import type { Entry } from '../cache/entry.ts'

export interface RowLookup {
  readonly row: Row
  entry: Entry | undefined
  /** A stale entry, to be given if the backends fail. */
  fallback: Entry | undefined
  /** The tier that had the entry; undefined: it was fetched. */
  tier: string | undefined
  joined: boolean
  /** It was fetched, and could not be stored. */
  notStored: boolean
  /** The backend's full reply, if this call led the load. */
  leaderReply: Reply | undefined
}

export class RowLookups {
  readonly items: readonly RowLookup[]
  /** The distinct rows, one a look-up. */
  readonly rows: readonly Row[]
  /** For each row of the call, its look-up. */
  readonly #order: readonly RowLookup[]
  /** Undefined: there is one look-up. */
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

  /** Keeps a stale entry, in case the backends fail. */
  fallBack(digest: Digest, entry: Entry): void {
    const lookup = this.#byDigest ? this.#byDigest.get(digest) : this.items[0]
    if (lookup?.row.digest === digest) lookup.fallback ??= entry
  }

  /** The look-ups without an entry, in the caller's order. */
  get missing(): readonly RowLookup[] {
    const [only] = this.items
    if (only && this.items.length === 1) return only.entry ? NONE : this.items
    return this.items.filter((lookup) => lookup.entry === undefined)
  }

  /** True if no row occurs twice: a request for all of them is then the call as it came. */
  get isDistinct(): boolean {
    return this.items.length === this.#order.length
  }

  /** True if no entry was fetched. */
  get isKnown(): boolean {
    for (const { tier } of this.items) if (tier === undefined) return false
    return true
  }

  /** True if every fetched entry is stored. */
  get isStored(): boolean {
    for (const { notStored } of this.items) if (notStored) return false
    return true
  }

  /** The entries in the caller's order; undefined while one is missing. */
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
