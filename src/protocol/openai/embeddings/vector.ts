/**
 * Vectors of 32-bit floats, little-endian, as they are kept: read from JSON numbers and from base64, and written as either. A
 * float is written as the shortest decimal that reads back to it, which is what servers write that have 32-bit floats.
 */

export interface Vector {
  readonly bytes: Uint8Array
  /** The server writes a whole number without a fraction: `1` and not `1.0`. */
  readonly isBare: boolean
}

const MINUS = 0x2d
const PLUS = 0x2b
const POINT = 0x2e
const ZERO = 0x30
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d

/** Powers of ten that are exact as doubles. */
const POWERS = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`))
/** Whole numbers with more digits may be no doubles. */
const MAX_DIGITS = 15

let floats = new Float32Array(4096)

/** Reads an array of numbers, whose grammar has been checked; undefined: it is none, or holds what is no 32-bit float. */
export function vectorOfNumbers(bytes: Uint8Array, start: number, end: number): Vector | undefined {
  if (bytes[start] !== OPEN_ARRAY) return undefined
  let count = 0
  let isBare = false
  for (let i = start + 1; i < end - 1; ) {
    const c = bytes[i] as number
    if (c <= 0x20 || c === COMMA) {
      i++
      continue
    }
    const from = i
    while (i < end - 1 && isOfNumber(bytes[i] as number)) i++
    if (i === from) return undefined
    const value = numberAt(bytes, from, i)
    const float = Math.fround(value)
    if (!Number.isFinite(float)) return undefined
    if (found.isWhole) {
      isBare = true
      // A whole number is meant exactly.
      if (float !== value || Math.abs(value) >= MAX_BARE) return undefined
    }
    if (count === floats.length) grow()
    floats[count++] = float
  }
  const copy = Buffer.allocUnsafe(count * 4)
  copy.set(new Uint8Array(floats.buffer, 0, count * 4))
  return { bytes: copy, isBare }
}

function grow(): void {
  const more = new Float32Array(floats.length * 2)
  more.set(floats)
  floats = more
}

function isOfNumber(c: number): boolean {
  return (c >= ZERO && c <= 0x39) || c === POINT || c === MINUS || c === PLUS || (c | 0x20) === 0x65
}

/** Of the number read last: it has neither fraction nor exponent. One shared object, since returning two results costs more. */
const found = { isWhole: false }

/** The number between two places, as `Number` reads it; those of few digits without a string. */
function numberAt(bytes: Uint8Array, start: number, end: number): number {
  let i = start
  const isNegative = bytes[i] === MINUS
  if (isNegative) i++
  let digits = 0
  let mantissa = 0
  let scale = 0
  let hasPoint = false
  for (; i < end; i++) {
    const c = bytes[i] as number
    if (c === POINT) {
      hasPoint = true
      continue
    }
    if (c < ZERO || c > 0x39) break
    if (hasPoint) scale++
    if (mantissa > 0 || c !== ZERO) digits++
    if (digits <= MAX_DIGITS) mantissa = mantissa * 10 + c - ZERO
  }
  found.isWhole = !hasPoint && i === end
  if (i < end || digits > MAX_DIGITS || scale >= POWERS.length) {
    return Number(Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1'))
  }
  const value = mantissa / (POWERS[scale] as number)
  return isNegative ? -value : value
}

/** Reads a base64 text; undefined: it is none of whole floats. */
export function vectorOfBase64(text: string): Vector | undefined {
  const bytes = Buffer.from(text, 'base64')
  const isWhole = bytes.length % 4 === 0 && bytes.length === decodedLength(text)
  return isWhole && areFinite(bytes) ? { bytes, isBare: false } : undefined
}

/** The bytes that a base64 text of this length stands for, if all of it is base64. */
function decodedLength(text: string): number {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  return Math.floor(((text.length - padding) * 3) / 4)
}

function areFinite(bytes: Uint8Array): boolean {
  // All bits of the exponent are set in infinities and in what is no number.
  for (let i = 0; i < bytes.length; i += 4) {
    const [low = 0, high = 0] = [bytes[i + 2], bytes[i + 3]]
    if ((high & 0x7f) === 0x7f && low >= 0x80) return false
  }
  return true
}

/** The most bytes that `writeNumbers` needs for so many floats. */
export function numbersBound(count: number): number {
  return count * MAX_FLOAT_BYTES + 2
}

/** `-1000000000000000.0`, and a comma. */
const MAX_FLOAT_BYTES = 20

/** Writes the vector as an array of numbers at `at`; returns the index behind it. */
export function writeNumbers({ bytes, isBare }: Vector, out: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let o = at
  out[o++] = OPEN_ARRAY
  for (let i = 0; i < bytes.length; i += 4) {
    if (i > 0) out[o++] = COMMA
    o = writeFloat(view.getFloat32(i, true), isBare, out, o)
  }
  out[o++] = CLOSE_ARRAY
  return o
}

/** Decimal exponents between which a number is written without one, as Python does. */
const LEAST_PLAIN = -7
const MOST_PLAIN = 16
/** Beyond, whole numbers are not written out. */
const MAX_BARE = 1e15
const DIGITS = 9

/** Writes the shortest decimal that reads back to the float; a whole number with `.0`, unless it is to be bare. */
export function writeFloat(float: number, isBare: boolean, out: Uint8Array, at: number): number {
  let o = at
  if (float < 0 || Object.is(float, -0)) out[o++] = MINUS
  const value = Math.abs(float)
  if (value === 0) {
    out[o++] = ZERO
    return isBare ? o : fraction(out, o)
  }
  // Larger ones come from numbers with a fraction.
  const bare = isBare && value < MAX_BARE
  if (bare && Number.isInteger(value)) return writeDigits(value, digitsOf(value), out, o)
  const { digits, count, exponent } = shortest(value)
  if (exponent <= LEAST_PLAIN || exponent >= MOST_PLAIN) return scientific(out, o)
  if (exponent < 0) {
    out[o++] = ZERO
    out[o++] = POINT
    for (let i = exponent + 1; i < 0; i++) out[o++] = ZERO
    return writeDigits(digits, count, out, o)
  }
  const whole = exponent + 1
  if (count <= whole) {
    o = writeDigits(digits, count, out, o)
    for (let i = count; i < whole; i++) out[o++] = ZERO
    return bare ? o : fraction(out, o)
  }
  // One place is left for the point, which the digits behind it make room for.
  o = writeDigits(digits, count, out, o)
  out.copyWithin(o - count + whole + 1, o - count + whole, o)
  out[o - count + whole] = POINT
  return o + 1
}

function fraction(out: Uint8Array, at: number): number {
  out[at] = POINT
  out[at + 1] = ZERO
  return at + 2
}

/** `1.5e-7`, of the number found last. */
function scientific(out: Uint8Array, at: number): number {
  const { digits, count, exponent } = decimal
  let o = writeDigits(digits, count, out, at)
  if (count > 1) {
    out.copyWithin(at + 2, at + 1, o)
    out[at + 1] = POINT
    o++
  }
  out[o++] = 0x65
  out[o++] = exponent < 0 ? MINUS : PLUS
  const size = Math.abs(exponent)
  return writeDigits(size, size < 10 ? 1 : 2, out, o)
}

function digitsOf(whole: number): number {
  let count = 1
  while ((POWERS[count] as number) <= whole) count++
  return count
}

function writeDigits(digits: number, count: number, out: Uint8Array, at: number): number {
  const end = at + count
  if (digits >= MOST_INT) return writeText(String(digits), out, at)
  let rest = digits | 0
  for (let i = end - 1; i >= at; i--) {
    const next = (rest / 10) | 0
    out[i] = ZERO + rest - next * 10
    rest = next
  }
  return end
}

const MOST_INT = 2 ** 31

function writeText(text: string, out: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i)
  return at + text.length
}

/** A decimal: its digits as a whole number, how many they are, and the power of ten of the first. One object, written anew each time. */
const decimal = { digits: 0, count: 0, exponent: 0 }

const single = new Float32Array(1)
const bits = new Uint32Array(single.buffer)
/** Half the distance to the next float, by the exponent of the float's bits. */
const HALF_STEPS = Float64Array.from({ length: 256 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 151))
/** A binary exponent as a decimal one. */
const LOG_2 = Math.LOG10E * Math.LN2

/** The shortest decimal that reads back to a positive float; of several, the nearest. */
function shortest(value: number): typeof decimal {
  single[0] = value
  const binary = (bits[0] as number) >>> 23
  // Rounded down, and for small mantissas one too small.
  let exponent = Math.floor((binary - 127) * LOG_2)
  let power = DIGITS - 1 - exponent
  if (power < 1 || power >= POWERS.length) return slowly(value)
  let scaled = value * (POWERS[power] as number)
  if (scaled >= 1e9) {
    exponent++
    power--
    scaled = value * (POWERS[power] as number)
  }
  const scale = POWERS[power] as number
  // Below a power of two the floats lie closer.
  const isPower = ((bits[0] as number) & 0x7fffff) === 0
  const reach = isPower ? 0 : (HALF_STEPS[binary] as number) * scale
  // Nine digits always do; each digit that can be left out shows in a multiple of ten that is near enough.
  const nine = Math.round(scaled) | 0
  let digits = nine
  for (let step = 10; step <= 1e9; step *= 10) {
    const below = (((nine / step) | 0) * step) | 0
    const above = (below + step) | 0
    const isNearer = 2 * (scaled - below) <= step
    if (readsBack(isNearer ? below : above)) digits = isNearer ? below : above
    else if (isPower && readsBack(isNearer ? above : below)) digits = isNearer ? above : below
    else break
  }
  decimal.exponent = digits >= 1e9 ? exponent + 1 : exponent
  while (digits >= 10 && digits % 10 === 0) digits = (digits / 10) | 0
  decimal.digits = digits
  decimal.count = digitsOf(digits)
  return decimal

  /** By its distance, if that is clear. */
  function readsBack(candidate: number): boolean {
    const distance = Math.abs(candidate - scaled)
    if (distance < reach - 1) return true
    return (isPower || distance <= reach + 1) && Math.fround(candidate / scale) === value
  }
}

/** The same of numbers so small or large that no embedding has them. */
function slowly(value: number): typeof decimal {
  for (let count = 1; ; count++) {
    const [text = '', power = ''] = value.toExponential(count - 1).split('e')
    const nearest = Number(text.replace('.', ''))
    const exponent = Number(power)
    const digits = [nearest, nearest - 1, nearest + 1].find(
      (near) => Math.fround(Number(`${near}e${exponent - count + 1}`)) === value,
    )
    if (digits === undefined) continue
    decimal.digits = digits
    decimal.count = count
    decimal.exponent = exponent
    // One more than all nines has a digit more.
    if (digits >= 10 ** count) {
      decimal.digits = digits / 10
      decimal.exponent++
    }
    return decimal
  }
}
