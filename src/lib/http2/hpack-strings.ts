/** Writes the parts of a field block (HPACK, RFC 7541, section 5), and finds fields in the static table. */
import { STATIC_FIELDS } from './static-table.ts'

/** What an integer is, in the bits of its first byte that are not its own. */
interface Kind {
  readonly mark: number
  /** Bits that are left for the integer. */
  readonly bits: number
}

/** A field of a table. */
export const INDEXED: Kind = { mark: 0x80, bits: 7 }
/** The name of a literal that the table keeps. */
export const KEPT: Kind = { mark: 0x40, bits: 6 }
/** The name of a literal that no table keeps. */
export const LITERAL: Kind = { mark: 0x00, bits: 4 }
/** Bytes of the table from now on. */
export const TABLE_SIZE: Kind = { mark: 0x20, bits: 5 }
const LENGTH: Kind = { mark: 0x00, bits: 7 }

/** More than the longest integers that we write. */
const MAX_INTEGER_BYTES = 6

/** A name of the static table: its first index, and that of each value with it. */
interface Indexed {
  readonly index: number
  readonly values: Map<string, number>
}

const indexed = new Map<string, Indexed>()
for (const [i, [name, value]] of STATIC_FIELDS.entries()) {
  const known = indexed.get(name) ?? { index: i + 1, values: new Map() }
  known.values.set(value, i + 1)
  indexed.set(name, known)
}

export function staticIndex(name: string): Indexed | undefined {
  return indexed.get(name)
}

/** A buffer in which these texts have room as strings, with an integer each. */
export function roomFor(texts: readonly string[]): Buffer {
  let length = 2 * MAX_INTEGER_BYTES
  for (const text of texts) length += text.length + MAX_INTEGER_BYTES
  return Buffer.allocUnsafe(length)
}

/** Returns the offset behind it, as the next. `nameIndex` 0: the name is written, too. */
export function writeLiteral(
  block: Buffer,
  at: number,
  { kind, nameIndex, name, value }: { kind: Kind; nameIndex: number; name: string; value: string },
): number {
  let end = writeInteger(block, at, kind, nameIndex)
  if (nameIndex === 0) end = string(block, end, name)
  return string(block, end, value)
}

export function writeInteger(block: Buffer, at: number, { mark, bits }: Kind, value: number): number {
  const mask = (1 << bits) - 1
  if (value < mask) {
    block[at] = mark | value
    return at + 1
  }
  block[at] = mark | mask
  let rest = value - mask
  let end = at + 1
  for (; rest > 0x7f; rest >>= 7) block[end++] = (rest & 0x7f) | 0x80
  block[end] = rest
  return end + 1
}

function string(block: Buffer, at: number, text: string): number {
  const start = writeInteger(block, at, LENGTH, text.length)
  return start + block.write(text, start, 'latin1')
}
