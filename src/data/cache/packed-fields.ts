/** Packs lists of strings for the envelope of an entry: header fields and trailers, names and values in turn. */
import { isFieldName, isFieldValue } from '../../core/field-syntax.ts'

/** The bytes that `packStrings` needs. */
export function packedSize(strings: readonly string[]): number {
  let size = 0
  for (const text of strings) size += 4 + Buffer.byteLength(text)
  return size
}

/** Writes each string as a u32 length and its UTF-8 bytes; returns the index behind them. */
export function packStrings(strings: readonly string[], out: Buffer, from: number): number {
  let at = from
  for (const text of strings) {
    const length = out.write(text, at + 4, 'utf8')
    out.writeUInt32LE(length, at)
    at += 4 + length
  }
  return at
}

/** The inverse of packStrings; undefined where the lengths do not add up. */
export function unpackStrings(from: Buffer, start: number, end: number): string[] | undefined {
  const strings: string[] = []
  let at = start
  while (at < end) {
    if (at + 4 > end) return undefined
    const next = at + 4 + from.readUInt32LE(at)
    if (next > end) return undefined
    strings.push(from.toString('utf8', at + 4, next))
    at = next
  }
  return strings
}

/** Fields that frame a message or belong to a connection are made for each answer, and never stored. */
const FRAMING =
  /^(?:connection|content-length|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade)$/i

/** Whether the fields can be sent as they are: another program may have written and checksummed them. */
export function areFields(headers: readonly string[]): boolean {
  if (headers.length % 2 !== 0) return false
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (!isFieldName(name) || FRAMING.test(name) || !isFieldValue(headers[i + 1] ?? '')) return false
  }
  return true
}
