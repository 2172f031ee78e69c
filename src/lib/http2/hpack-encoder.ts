/**
 * Encodes lists of fields (HPACK, RFC 7541) without a table of its own: by index where the static table has the field, otherwise
 * as it is. So a block means the same on every connection and at any time, and one that repeats is encoded once.
 */
import { INDEXED, LITERAL, roomFor, staticIndex, writeInteger, writeLiteral } from './hpack-strings.ts'

/** `fields`: names in lower case and values in turn, one character a byte. */
export function encodeFields(fields: readonly string[]): Buffer {
  const block = roomFor(fields)
  let at = 0
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    const value = fields[i + 1] as string
    const known = staticIndex(name)
    const index = known?.values.get(value)
    at =
      index === undefined
        ? writeLiteral(block, at, { kind: LITERAL, nameIndex: known?.index ?? 0, name, value })
        : writeInteger(block, at, INDEXED, index)
  }
  return block.subarray(0, at)
}
