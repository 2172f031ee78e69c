/**
 * Encodes lists of fields (HPACK, RFC 7541) without a table of its own: by index where the static table has the field, otherwise
 * as it is. So a block means the same on every connection and at any time, and one that repeats is encoded once.
 */
import { STATIC_FIELDS } from './static-table.ts'

/** What an integer is, in the bits of its first byte that are not its own. */
interface Kind {
  readonly mark: number
  /** Bits that are left for the integer. */
  readonly bits: number
}

const INDEXED: Kind = { mark: 0x80, bits: 7 }
/** The name of a literal that no table keeps. */
const LITERAL: Kind = { mark: 0x00, bits: 4 }
const LENGTH: Kind = { mark: 0x00, bits: 7 }

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

/** `fields`: names in lower case and values in turn, one character a byte. */
export function encodeFields(fields: readonly string[]): Buffer {
  let length = 0
  for (const text of fields) length += text.length + 6
  const block = Buffer.allocUnsafe(length)
  let at = 0
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    const value = fields[i + 1] as string
    const known = indexed.get(name)
    const index = known?.values.get(value)
    if (index !== undefined) {
      at = integer(block, at, INDEXED, index)
      continue
    }
    const nameIndex = known?.index ?? 0
    at = integer(block, at, LITERAL, nameIndex)
    if (nameIndex === 0) at = string(block, at, name)
    at = string(block, at, value)
  }
  return block.subarray(0, at)
}

function string(block: Buffer, at: number, text: string): number {
  const start = integer(block, at, LENGTH, text.length)
  return start + block.write(text, start, 'latin1')
}

/** RFC 7541, section 5.1. */
function integer(block: Buffer, at: number, { mark, bits }: Kind, value: number): number {
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
