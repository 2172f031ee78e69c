import { createHash, hash } from 'node:crypto'

/**
 * A SHA-256 as 32 latin1 characters: a string, so that it is a Map key without a wrapper; one byte a
 * character, so that it costs 32 bytes and turns into bytes without decoding.
 */
export type Digest = string & { readonly __digest: unique symbol }

export function digestOf(bytes: Uint8Array | string): Digest {
  return hash('sha256', bytes, 'latin1') as Digest
}

/** `digestOf` of bytes that come in pieces, with a pause after each. `before`: one byte a character, in front of them. */
export function* digestSteps(pieces: Iterable<Uint8Array>, before = ''): Generator<void, Digest> {
  const sha256 = createHash('sha256').update(before, 'latin1')
  for (const piece of pieces) {
    sha256.update(piece)
    yield
  }
  return sha256.digest('latin1') as Digest
}

/** For people: logs, `explain`, purge by key. */
export function printable(digest: Digest): string {
  return Buffer.from(digest, 'latin1').toString('base64url')
}

export function parseDigest(text: string): Digest | undefined {
  if (!/^[A-Za-z0-9_-]{43}$/.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64url')
  return bytes.length === 32 ? (bytes.toString('latin1') as Digest) : undefined
}

/** Four bytes of a digest as a 32-bit word of a typed array; every platform that Node runs on is little-endian. */
export function wordOf(digest: Digest, at: number): number {
  const low = digest.charCodeAt(at) | (digest.charCodeAt(at + 1) << 8)
  return (low | (digest.charCodeAt(at + 2) << 16) | (digest.charCodeAt(at + 3) << 24)) >>> 0
}
