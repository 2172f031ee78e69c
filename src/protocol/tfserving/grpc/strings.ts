/** Lists of strings as one byte string: each string behind four bytes with its length. */

const LENGTH_BYTES = 4

/** The bytes before a string of this length. */
export function lengthBytes(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(LENGTH_BYTES)
  bytes.writeUInt32LE(length)
  return bytes
}

/** Where each `step`th of `count` strings begins, and the end; undefined: the bytes are not so many strings. */
export function stringStarts(list: Uint8Array, count: number, step = 1): Uint32Array | undefined {
  const view = new DataView(list.buffer, list.byteOffset, list.length)
  const starts = new Uint32Array(count / step + 1)
  let at = 0
  for (let i = 0; i < count; i++) {
    if (at + LENGTH_BYTES > list.length) return undefined
    if (i % step === 0) starts[i / step] = at
    at += LENGTH_BYTES + view.getUint32(at, true)
  }
  starts[count / step] = at
  return at === list.length ? starts : undefined
}

/** The strings of a list that is one. */
export function* stringsIn(list: Uint8Array): Generator<Uint8Array, void> {
  const view = new DataView(list.buffer, list.byteOffset, list.length)
  for (let at = 0; at < list.length; ) {
    const end = at + LENGTH_BYTES + view.getUint32(at, true)
    yield list.subarray(at + LENGTH_BYTES, end)
    at = end
  }
}
