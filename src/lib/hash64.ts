/**
 * 64-bit hashing in two 32-bit lanes, without BigInt and without allocation: for placing keys on backends,
 * where speed and spread count and nobody attacks (cache keys use SHA-256).
 */

/** Finalizer of MurmurHash3 (Appleby): every input bit reaches every output bit. */
export function mix32(value: number): number {
  let mixed = value
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}

/** One lane of the hash of a text; lanes differ by `seed`. Reads UTF-16 units. */
export function lane32(text: string, seed: number): number {
  let hash = mix32(seed ^ text.length)
  for (let at = 0; at < text.length; at++)
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x9e3779b1) ^ (hash >>> 15)
  return mix32(hash)
}

/** Four bytes of a hash, which is a latin1 string, as an integer. */
export function lift32(bytes: string, at: number): number {
  return (
    bytes.charCodeAt(at) |
    (bytes.charCodeAt(at + 1) << 8) |
    (bytes.charCodeAt(at + 2) << 16) |
    (bytes.charCodeAt(at + 3) << 24)
  )
}

/**
 * The hash of a pair, each given as two lanes, as a number strictly between 0 and 1 with 53 bits: what weighted
 * rendezvous hashing takes the logarithm of.
 */
export function unit53(keyHigh: number, keyLow: number, idHigh: number, idLow: number): number {
  const high = mix32(keyHigh ^ Math.imul(idLow, 0xcc9e2d51) ^ idHigh)
  const low = mix32(keyLow ^ Math.imul(idHigh, 0x1b873593) ^ idLow ^ high)
  return ((high >>> 0) * 2097152 + (low >>> 11) + 0.5) / 9007199254740992
}
