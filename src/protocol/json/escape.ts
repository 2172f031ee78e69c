/** Reads escapes in strings byte by byte, since an escape may lie in two pieces of a body. */
import { LONE, unicodeEscape } from './string.ts'

/** The escape is incomplete. */
export const MORE = -3

const BACKSLASH = 0x5c
const LETTER_U = 0x75

/** The character that a letter behind a backslash stands for; 0: none. */
const SIMPLE = new Uint8Array(256)
SIMPLE.set([0x22], 0x22)
SIMPLE.set([0x2f], 0x2f)
SIMPLE.set([BACKSLASH], BACKSLASH)
for (const [i, letter] of Array.from('bfnrt').entries())
  SIMPLE[letter.charCodeAt(0)] = [8, 12, 10, 13, 9][i] as number

export class EscapeReader {
  readonly #bytes = new Uint8Array(12)
  #length = 0

  /** A backslash has been read. */
  begin(): void {
    this.#bytes[0] = BACKSLASH
    this.#length = 1
  }

  /** Takes one byte more; returns the code point of the escape or surrogate pair, `MORE`, `LONE`, or -1: it is no escape. */
  push(c: number): number {
    const bytes = this.#bytes
    bytes[this.#length++] = c
    const length = this.#length
    if (length === 2 && c !== LETTER_U) return SIMPLE[c] || -1
    if (length < 6) return MORE
    // After a high surrogate the next escape decides whether it is half of a pair.
    if (length === 12 || !isHighSurrogate(bytes)) return unicodeEscape(bytes, 0, length)
    return (length === 7 && c !== BACKSLASH) || (length === 8 && c !== LETTER_U) ? LONE : MORE
  }
}

/** True for `\ud8xx` to `\udbxx`. */
function isHighSurrogate(escape: Uint8Array): boolean {
  const digit = (escape[3] as number) | 0x20
  return (
    ((escape[2] as number) | 0x20) === 0x64 &&
    (digit === 0x38 || digit === 0x39 || digit === 0x61 || digit === 0x62)
  )
}
