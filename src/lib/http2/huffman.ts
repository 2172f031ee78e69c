/** Decodes strings in HPACK's Huffman code (RFC 7541, section 5.2 and appendix B), four bits at a time. */

/**
 * The length of each symbol's code; the last is that of the end of a string. The code is canonical: among codes of one length
 * those of higher symbols are higher, and each longer code is above all shorter ones. So the lengths define it.
 */
const LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28,
  28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7,
  8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19,
  13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13,
  28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
  22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23,
  22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25,
  25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
]
const END_OF_STRING = 256
const MAX_LENGTH = 30

/** No symbol ends within these four bits. */
const NONE = -1
/** The bits are those of the end of a string, which must not be written (RFC 7541, section 5.2). */
const REFUSED = -2

interface Table {
  /** By state and four bits: the next state. */
  readonly next: Int16Array
  /** By the same: the symbol that ends within the bits; no code is short enough for two. */
  readonly symbol: Int16Array
  /** Per state: whether a string may end here: behind at most seven bits, all of them ones. */
  readonly mayEnd: Uint8Array
}

const table = build()

function build(): Table {
  // A binary tree, two places a node: a node above 0, a symbol as -1 - symbol, or 0 for none yet.
  const tree: number[] = [0, 0]
  let code = 0
  for (let length = 1; length <= MAX_LENGTH; length++, code <<= 1)
    for (const [symbol, own] of LENGTHS.entries()) if (own === length) insert(tree, code++, length, symbol)
  const states = tree.length / 2
  const next = new Int16Array(states * 16)
  const symbols = new Int16Array(states * 16).fill(NONE)
  for (let state = 0; state < states; state++) {
    for (let bits = 0; bits < 16; bits++) {
      let at = state
      for (let mask = 8; mask > 0; mask >>= 1) {
        const to = tree[at * 2 + (bits & mask ? 1 : 0)] as number
        if (to < 0) symbols[state * 16 + bits] = to === -1 - END_OF_STRING ? REFUSED : -1 - to
        at = to < 0 ? 0 : to
      }
      next[state * 16 + bits] = at
    }
  }
  const mayEnd = new Uint8Array(states)
  for (let bits = 0, at = 0; bits < 8; bits++, at = tree[at * 2 + 1] as number) mayEnd[at] = 1
  return { next, symbol: symbols, mayEnd }
}

function insert(tree: number[], code: number, length: number, symbol: number): void {
  let at = 0
  for (let bit = length - 1; bit > 0; bit--) {
    const place = at * 2 + ((code >> bit) & 1)
    if (tree[place] === 0) tree[place] = tree.push(0, 0) / 2 - 1
    at = tree[place] as number
  }
  tree[at * 2 + (code & 1)] = -1 - symbol
}

/** The longest string has one symbol for every five bits. */
let scratch = Buffer.allocUnsafeSlow(1024)

/** The string as latin1, one character a byte; undefined: the bytes are not in this code. */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string | undefined {
  const longest = Math.ceil(((end - start) * 8) / 5)
  if (longest > scratch.length) scratch = Buffer.allocUnsafeSlow(longest * 2)
  const { next, symbol: symbols, mayEnd } = table
  let length = 0
  let state = 0
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number
    for (let at = state * 16 + (byte >> 4), half = 0; half < 2; half++, at = state * 16 + (byte & 15)) {
      const symbol = symbols[at] as number
      if (symbol >= 0) scratch[length++] = symbol
      else if (symbol === REFUSED) return undefined
      state = next[at] as number
    }
  }
  return mayEnd[state] === 1 ? scratch.toString('latin1', 0, length) : undefined
}
