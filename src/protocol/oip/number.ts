/** Converts JSON number lexemes to values, exactly, without making a string of each. */

const MINUS = 0x2d
const DOT = 0x2e

/** 10^0 to 10^22 are exact doubles; so is a product or quotient of one of them and an integer below 2^53. */
const POWERS = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`))

/**
 * The double nearest to the number at `from`; NaN if computing it needs more than 53 bits, or if it is no number;
 * undefined for `-0` without a fraction, which servers read as a zero of either sign.
 */
export function quickFloat(bytes: Uint8Array, from: number, end: number): number | undefined {
  const negative = bytes[from] === MINUS
  let mantissa = 0
  let digits = 0
  let scale = 0
  let isInteger = true
  for (let i = negative ? from + 1 : from; i < end; i++) {
    const c = bytes[i] as number
    if (c === DOT) isInteger = false
    else {
      if (c < 0x30 || c > 0x39) return Number.NaN
      mantissa = mantissa * 10 + c - 0x30
      if (mantissa > 0 && ++digits > 15) return Number.NaN
      if (!isInteger) scale--
    }
  }
  if (scale < -22) return Number.NaN
  if (mantissa === 0 && negative && isInteger) return undefined
  const value = scale < 0 ? mantissa / (POWERS[-scale] as number) : mantissa
  return negative ? -value : value
}

/** The numbers of a JSON array, however deeply nested; undefined if JSON.parse does not read it as an array of numbers. */
export function parseFloats(json: Uint8Array, count: number): Float64Array | undefined {
  const values = new Float64Array(count)
  let at = 0
  const flatten = (list: unknown[]): boolean => {
    for (const member of list) {
      if (typeof member === 'number') {
        if (at === count) return false
        values[at++] = member
      } else if (!Array.isArray(member) || !flatten(member)) return false
    }
    return true
  }
  try {
    const parsed: unknown = JSON.parse(
      Buffer.from(json.buffer, json.byteOffset, json.length).toString('latin1'),
    )
    return Array.isArray(parsed) && flatten(parsed) && at === count ? values : undefined
  } catch {
    // `NaN` and `Infinity` tokens: not every server reads them, so they are no values here either.
    return undefined
  }
}

/** The double that a lexeme of any length spells; NaN if it is no number. */
export function parseFloat64(bytes: Uint8Array, from: number, end: number): number {
  return Number(text(bytes, from, end))
}

/** The integer at `from` if its lexeme is one (`1.0` is not) of at most 15 digits; otherwise undefined. */
export function smallInteger(bytes: Uint8Array, from: number, end: number): number | undefined {
  const negative = bytes[from] === MINUS
  const first = negative ? from + 1 : from
  if (end - first > 15 || end === first) return undefined
  let value = 0
  for (let i = first; i < end; i++) {
    const c = bytes[i] as number
    if (c < 0x30 || c > 0x39) return undefined
    value = value * 10 + c - 0x30
  }
  return negative ? 0 - value : value
}

/** The integer at `from` if its lexeme is one of at most 20 digits; otherwise undefined. */
export function bigInteger(bytes: Uint8Array, from: number, end: number): bigint | undefined {
  const first = bytes[from] === MINUS ? from + 1 : from
  if (end - first > 20 || end === first) return undefined
  for (let i = first; i < end; i++) {
    const c = bytes[i] as number
    if (c < 0x30 || c > 0x39) return undefined
  }
  return BigInt(text(bytes, from, end))
}

function text(bytes: Uint8Array, from: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, end - from).toString('latin1')
}
