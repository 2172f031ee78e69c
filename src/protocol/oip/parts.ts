/** A row's part of a tensor, behind a byte that says how it is written. */

/** How a row's values are written: JSON elements, a blob, JSON elements in brackets of their own, or the blob of typed values. */
export const FLAT = 0
export const BLOB = 1
export const NESTED = 2
export const TYPED = 3

/** Whether the values are a blob, of whatever origin. */
export function isBlob(part: Uint8Array | undefined): boolean {
  return part !== undefined && (part[0] === BLOB || part[0] === TYPED)
}

export function part(kind: number, bytes: Uint8Array): Buffer {
  const tagged = Buffer.allocUnsafe(bytes.length + 1)
  tagged[0] = kind
  tagged.set(bytes, 1)
  return tagged
}
