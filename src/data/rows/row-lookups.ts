/**
 * The rows of one call and how each was answered. Equal rows of a call are one line of its sheet: they are
 * looked up, sent and paid for once.
 */
import type { Digest } from '../../core/key.ts'
import type { Reply, RowCounts } from '../../core/reply.ts'
import type { Row } from '../../protocol/protocol.ts'
import type { Entry } from '../cache/entry.ts'

export interface Line {
  readonly row: Row
  entry: Entry | undefined
  /** Too old to answer, but better than an error. */
  fallback: Entry | undefined
  /** The tier that had it, or undefined for an answer that was fetched. */
  tier: string | undefined
  joined: boolean
  /** It was fetched, and could be kept nowhere. */
  lost: boolean
  /** All that the backend said to this call. */
  own: Reply | undefined
}

export class Sheet {
  readonly lines: readonly Line[]
  /** One a line. */
  readonly rows: readonly Row[]
  /** For each row of the call, its line. */
  readonly #order: readonly Line[]
  /** Undefined: there is one line. */
  readonly #byDigest: ReadonlyMap<Digest, Line> | undefined

  constructor(rows: readonly Row[]) {
    const [only] = rows
    if (only && rows.length === 1) {
      this.lines = this.#order = [lineOf(only)]
      this.rows = rows
      return
    }
    const lines = new Map<Digest, Line>()
    this.#order = rows.map((row) => {
      const line = lines.get(row.digest) ?? lineOf(row)
      lines.set(row.digest, line)
      return line
    })
    this.lines = [...lines.values()]
    this.rows = this.lines.map(({ row }) => row)
    this.#byDigest = lines
  }

  /** The rows of these digests, in the caller's order. */
  rowsOf(digests: readonly Digest[]): readonly Row[] {
    const wanted = new Set(digests)
    return this.rows.filter(({ digest }) => wanted.has(digest))
  }

  /** Keeps an answer that is too old, for the case that there will be no other. */
  fallBack(digest: Digest, entry: Entry): void {
    const line = this.#byDigest ? this.#byDigest.get(digest) : this.lines[0]
    if (line?.row.digest === digest) line.fallback ??= entry
  }

  /** Lines that have no answer yet, in the caller's order. */
  get missing(): readonly Line[] {
    const [only] = this.lines
    if (only && this.lines.length === 1) return only.entry ? NONE : this.lines
    return this.lines.filter((line) => line.entry === undefined)
  }

  /** True when no row occurs twice: what is asked of a backend for all lines is the call as it came. */
  get plain(): boolean {
    return this.lines.length === this.#order.length
  }

  /** True when no answer was fetched. */
  get isKnown(): boolean {
    for (const { tier } of this.lines) if (tier === undefined) return false
    return true
  }

  /** True when all that was fetched is kept somewhere. */
  get isKept(): boolean {
    for (const { lost } of this.lines) if (lost) return false
    return true
  }

  /** The answers in the caller's order; undefined while one is missing. */
  entries(): readonly Entry[] | undefined {
    const [only] = this.#order
    if (only && this.#order.length === 1) return only.entry && [only.entry]
    const entries: Entry[] = []
    for (const line of this.#order) {
      if (!line.entry) return undefined
      entries.push(line.entry)
    }
    return entries
  }

  counts(): RowCounts {
    let hit = 0
    let join = 0
    for (const line of this.lines) {
      if (line.tier !== undefined) hit++
      else if (line.joined) join++
    }
    return { hit, join, miss: this.lines.length - hit - join, dup: this.#order.length - this.lines.length }
  }
}

const NONE: readonly Line[] = []

function lineOf(row: Row): Line {
  return {
    row,
    entry: undefined,
    fallback: undefined,
    tier: undefined,
    joined: false,
    lost: false,
    own: undefined,
  }
}
