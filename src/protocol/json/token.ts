/** The grammar of JSON's numbers and words (RFC 8259), and of the tokens `NaN`, `Infinity` and `-Infinity`. */

import { FRACTION, found, INTEGER_DIGITS, LONG } from './types.ts'

const MINUS = 0x2d
const LETTER_I = 0x49

const HIGH_HALVES = 0xf0f0f0f0 | 0
const ZEROS = 0x30303030
const SIXES = 0x06060606

const INFINITY = Buffer.from('Infinity')
const WORDS = ['true', 'false', 'null', 'NaN'].map((word) => Buffer.from(word)).concat(INFINITY)

/** 1: a byte that ends a number or word. */
export const SCALAR_STOP = new Uint8Array(256)
SCALAR_STOP.fill(1, 0, 0x21)
for (const stop of ',}]') SCALAR_STOP[stop.charCodeAt(0)] = 1

/** True where the bytes at `at` spell `word`. */
function spells(bytes: Uint8Array, at: number, word: Uint8Array): boolean {
  for (let i = 0; i < word.length; i++) if (bytes[at + i] !== word[i]) return false
  return true
}

/** The index behind a run of digits. With a view of the same bytes, four are looked at in one go. */
function digitsEnd(bytes: Uint8Array, from: number, end: number, view?: DataView): number {
  let i = from
  if (view) {
    for (const last = end - 4; i <= last; i += 4) {
      const four = view.getInt32(i, true)
      // The high halves of all four bytes are those of `0` to `9`, and no byte is beyond `9`.
      if ((four & HIGH_HALVES) !== ZEROS || (((four + SIXES) | 0) & HIGH_HALVES) !== ZEROS) break
    }
  }
  // One comparison for both bounds: a byte below `0` wraps around.
  while (i < end && ((bytes[i] as number) - 0x30) >>> 0 < 10) i++
  return i
}

/** The index behind the number at `from`, or -1. `view`, of the same bytes, makes long ones faster. Notes its type. */
export function numberEnd(bytes: Uint8Array, from: number, end: number, view?: DataView): number {
  let i = bytes[from] === MINUS ? from + 1 : from
  const whole = i
  i = digitsEnd(bytes, i, end)
  if (i === whole) {
    found.types |= FRACTION
    return i < end && i > from && bytes[i] === LETTER_I && spells(bytes, i, INFINITY) ? i + 8 : -1
  }
  if (i - whole > INTEGER_DIGITS) found.types |= LONG
  // RFC 8259 allows no leading zeros.
  if (bytes[whole] === 0x30 && i > whole + 1) return -1
  if (i < end && bytes[i] === 0x2e) {
    const fraction = digitsEnd(bytes, i + 1, end, view)
    if (fraction === i + 1) return -1
    i = fraction
    found.types |= FRACTION
  }
  if (i < end && ((bytes[i] as number) | 0x20) === 0x65) {
    let digits = i + 1
    if (digits < end && (bytes[digits] === 0x2b || bytes[digits] === MINUS)) digits++
    i = digitsEnd(bytes, digits, end)
    if (i === digits) return -1
    found.types |= FRACTION
  }
  return i
}

/** The index behind `true`, `false`, `null`, `NaN` or `Infinity`, or -1. */
export function wordEnd(bytes: Uint8Array, at: number): number {
  for (const word of WORDS) if (spells(bytes, at, word)) return at + word.length
  return -1
}
