/** Bytes as text of one character a byte: what goes out in one piece with a head is written as text. */
export function latin1Of(bytes: Uint8Array): string {
  // Of a Buffer no view need be made first.
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  return buffer.toString('latin1')
}
