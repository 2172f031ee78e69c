/**
 * Encodes lists of fields for one connection (HPACK, RFC 7541) with the table that its peer keeps: a field that repeats is a byte
 * or two. A list that is given again while the table stays as it is has the same block.
 */
import { DEFAULT_TABLE_BYTES } from './frames.ts'
import {
  INDEXED,
  KEPT,
  LITERAL,
  roomFor,
  staticIndex,
  TABLE_SIZE,
  writeInteger,
  writeLiteral,
} from './hpack-strings.ts'
import { STATIC_FIELDS } from './static-table.ts'

/** What a field takes in the table besides its bytes (RFC 7541, section 4.1). */
const FIELD_OVERHEAD = 32

export class HpackTableEncoder {
  readonly #kept: ReadonlySet<string>
  /** Which insertion each field of the table was, the oldest first; by name and value with a line feed between them. */
  readonly #table = new Map<string, number>()
  #bytes = 0
  /** Insertions so far: an index counts back from them. */
  #inserted = 0
  #limit = DEFAULT_TABLE_BYTES
  /** The smallest limit since the last block, which the next block must state, and then the present one; undefined: no change. */
  #leastLimit: number | undefined
  /** Blocks that have not changed the table, and what was in it. */
  #blocks = new WeakMap<readonly string[], { readonly block: Buffer; readonly inserted: number }>()

  /**
   * `kept`: names of fields that the table may keep. None whose values are secret: the length of a block tells whoever shares the
   * connection whether it has guessed one (RFC 7541, section 7.1).
   */
  constructor(kept: ReadonlySet<string>) {
    this.#kept = kept
  }

  /** The peer has set the size of its table; ours is never larger than at first. */
  resize(bytes: number): void {
    const limit = Math.min(bytes, DEFAULT_TABLE_BYTES)
    if (limit === this.#limit) return
    this.#limit = limit
    this.#leastLimit = Math.min(limit, this.#leastLimit ?? limit)
    this.#evict(limit)
    this.#blocks = new WeakMap()
  }

  /** `fields`: names in lower case and values in turn, one character a byte. To be sent before the next block is encoded. */
  encode(fields: readonly string[]): Buffer {
    const known = this.#blocks.get(fields)
    const inserted = this.#inserted
    if (known?.inserted === inserted && this.#leastLimit === undefined) return known.block
    const block = roomFor(fields)
    const start = this.#confirm(block)
    let at = start
    for (let i = 0; i < fields.length; i += 2)
      at = this.#field(block, at, fields[i] as string, fields[i + 1] as string)
    const used = block.subarray(0, at)
    if (start === 0 && inserted === this.#inserted) this.#blocks.set(fields, { block: used, inserted })
    return used
  }

  /** States new limits (RFC 7541, section 4.2). */
  #confirm(block: Buffer): number {
    const least = this.#leastLimit
    if (least === undefined) return 0
    this.#leastLimit = undefined
    const at = least < this.#limit ? writeInteger(block, 0, TABLE_SIZE, least) : 0
    return writeInteger(block, at, TABLE_SIZE, this.#limit)
  }

  #field(block: Buffer, at: number, name: string, value: string): number {
    const known = staticIndex(name)
    const index = known?.values.get(value)
    if (index !== undefined) return writeInteger(block, at, INDEXED, index)
    const nameIndex = known?.index ?? 0
    if (!this.#kept.has(name)) return writeLiteral(block, at, { kind: LITERAL, nameIndex, name, value })
    const key = `${name}\n${value}`
    const number = this.#table.get(key)
    if (number !== undefined)
      return writeInteger(block, at, INDEXED, STATIC_FIELDS.length + this.#inserted - number)
    const kind = this.#keep(key) ? KEPT : LITERAL
    return writeLiteral(block, at, { kind, nameIndex, name, value })
  }

  /** False: it is larger than the table, which it would empty. */
  #keep(key: string): boolean {
    const bytes = sizeOf(key)
    if (bytes > this.#limit) return false
    this.#evict(this.#limit - bytes)
    this.#table.set(key, this.#inserted++)
    this.#bytes += bytes
    return true
  }

  #evict(maxBytes: number): void {
    for (const key of this.#table.keys()) {
      if (this.#bytes <= maxBytes) return
      this.#table.delete(key)
      this.#bytes -= sizeOf(key)
    }
  }
}

/** Without the line feed. */
function sizeOf(key: string): number {
  return key.length - 1 + FIELD_OVERHEAD
}
