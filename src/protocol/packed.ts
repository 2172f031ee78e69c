/** Packs lists of byte strings into one byte string, and unpacks them. */

/** Packs the parts, each behind four bytes with its length. */
export function pack(parts: readonly Uint8Array[]): Buffer {
  const size = parts.reduce((sum, part) => sum + 4 + part.length, 0)
  const packed = Buffer.allocUnsafe(size)
  let at = 0
  for (const part of parts) {
    at = packed.writeUInt32LE(part.length, at)
    packed.set(part, at)
    at += part.length
  }
  return packed
}

/** Unpacks the parts; undefined if the bytes are no packed list. */
export function unpack(packed: Uint8Array): Uint8Array[] | undefined {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length)
  const parts: Uint8Array[] = []
  let at = 0
  while (at < packed.length) {
    if (at + 4 > packed.length) return undefined
    const end = at + 4 + view.getUint32(at, true)
    if (end > packed.length) return undefined
    parts.push(packed.subarray(at + 4, end))
    at = end
  }
  return parts
}

/** Joins the parts with commas. */
export function listed(parts: readonly Uint8Array[]): Buffer {
  const comma = Buffer.from(',')
  return Buffer.concat(parts.flatMap((part, i) => (i === 0 ? [part] : [comma, part])))
}
