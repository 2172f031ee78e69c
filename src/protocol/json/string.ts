/**
 * The canonical spelling of a JSON string, which keys are made of: UTF-8 as it is, `"` and `\` behind a backslash,
 * control characters as `\b \t \n \f \r` or `\u00xx` in lower case; RFC 8785 and JSON.stringify use the same.
 */

/** 1: an escape whose canonical spelling is the unescaped character (`\/`); 2: an escape that is canonical. */
export const SIMPLE_ESCAPE = new Uint8Array(256)
for (const letter of '"\\bfnrt') SIMPLE_ESCAPE[letter.charCodeAt(0)] = 2
SIMPLE_ESCAPE[0x2f] = 1

/** The result of `unicodeEscape` for a lone surrogate, which has no UTF-8 form. */
export const LONE = -2

const BACKSLASH = 0x5c
const LETTER_U = 0x75
const HEX = Buffer.from('0123456789abcdef')
/** The letter of a control character's short escape, or 0. */
const SHORT = new Uint8Array(0x20)
SHORT.set(Buffer.from('btn\0fr'), 8)

/** The value of four hex digits, or -1. */
function hex4(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) return -1
  let value = 0
  for (let i = at; i < at + 4; i++) {
    const c = bytes[i] as number
    const lower = c | 0x20
    if (c >= 0x30 && c <= 0x39) value = value * 16 + c - 0x30
    else if (lower >= 0x61 && lower <= 0x66) value = value * 16 + lower - 0x57
    else return -1
  }
  return value
}

/** The code point of the `\u` escape (or surrogate pair) at `at`; -1 if there is none; or `LONE`. */
export function unicodeEscape(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at + 1] === LETTER_U ? hex4(bytes, at + 2, end) : -1
  if (first < 0xd800 || first > 0xdfff) return first
  if (first > 0xdbff || bytes[at + 6] !== BACKSLASH || bytes[at + 7] !== LETTER_U) return LONE
  const second = hex4(bytes, at + 8, end)
  if (second < 0) return -1
  if (second < 0xdc00 || second > 0xdfff) return LONE
  return 0x10000 + ((first - 0xd800) << 10) + second - 0xdc00
}

/** Writes the canonical spelling of a code point at `at`, which takes up to six bytes; returns the index behind it. */
export function writeCodePoint(code: number, out: Uint8Array, at: number): number {
  let o = at
  if (code === 0x22 || code === BACKSLASH) {
    out[o++] = BACKSLASH
    out[o++] = code
  } else if (code < 0x20) {
    out[o++] = BACKSLASH
    const short = SHORT[code] as number
    out[o++] = short || LETTER_U
    if (short) return o
    out[o++] = 0x30
    out[o++] = 0x30
    out[o++] = HEX[code >> 4] as number
    out[o++] = HEX[code & 15] as number
  } else if (code < 0x80) out[o++] = code
  else {
    if (code < 0x800) out[o++] = 0xc0 | (code >> 6)
    else {
      if (code < 0x10000) out[o++] = 0xe0 | (code >> 12)
      else {
        out[o++] = 0xf0 | (code >> 18)
        out[o++] = 0x80 | ((code >> 12) & 0x3f)
      }
      out[o++] = 0x80 | ((code >> 6) & 0x3f)
    }
    out[o++] = 0x80 | (code & 0x3f)
  }
  return o
}

/**
 * Writes the canonical spelling of a valid string, without quotes, into `out` at `at`; returns the index behind it. It never
 * grows, so `out` may be as short as the source.
 */
export function writeString(
  bytes: Uint8Array,
  inside: { readonly start: number; readonly end: number },
  target: { readonly out: Uint8Array; readonly at: number },
): number {
  const { out, at } = target
  const { start, end } = inside
  let o = at
  for (let i = start; i < end; ) {
    const c = bytes[i] as number
    if (c !== BACKSLASH) {
      out[o++] = c
      i++
      continue
    }
    const letter = bytes[i + 1] as number
    const kind = SIMPLE_ESCAPE[letter]
    if (kind === 2) out[o++] = BACKSLASH
    if (kind) {
      out[o++] = letter
      i += 2
      continue
    }
    const code = unicodeEscape(bytes, i, end)
    i += code > 0xffff ? 12 : 6
    o = writeCodePoint(code, out, o)
  }
  return o
}

/** The canonical spelling of a valid string, given and returned without its quotes. */
export function canonicalString(inside: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(inside.length)
  return out.subarray(0, writeString(inside, { start: 0, end: inside.length }, { out, at: 0 }))
}

/** The last key read of each length: bodies of one model have the same keys. */
const names: string[] = Array.from({ length: 32 }, () => '')

/** The canonical spelling of a valid key, given without its quotes, as a string of bytes. */
export function keyText(bytes: Uint8Array, start: number, end: number): string {
  const known = names[end - start]
  if (known?.length === end - start && isAt(bytes, start, known)) return known
  const raw = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start)
  if (raw.includes(BACKSLASH)) return canonicalString(raw).toString('latin1')
  const text = raw.toString('latin1')
  if (known !== undefined) names[end - start] = text
  return text
}

function isAt(bytes: Uint8Array, start: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
  return true
}
