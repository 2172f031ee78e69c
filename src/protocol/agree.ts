/**
 * Decides whether two answers to one row agree. Kernels round differently by batch size, so floats may differ in
 * their last bits; everything else must be equal. The tolerance is that of single precision, relative to each
 * value and to the largest of its row: a probability of 1e-12 beside one of 1 may be off by more than its own size.
 * The largest value is capped: beside a time in seconds any two scores would agree.
 */
const RELATIVE = 1e-4
const OF_ROW = 1e-5
const MOST = 100
/** A whole number among floats may be a probability printed without a fraction; one above 1 is an id or a count. */
const MOST_WHOLE = 1

const NUMBER = /-?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|Infinity)|NaN/g
const INTEGER = /^-?\d+$/

/** Compares JSON texts: numbers by value, all else byte for byte, except white space between tokens. */
export function textsAgree(a: Uint8Array, b: Uint8Array): boolean {
  if (Buffer.compare(a, b) === 0) return true
  const left = tokens(a)
  const right = tokens(b)
  if (left.frame !== right.frame || left.numbers.length !== right.numbers.length) return false
  const pairs = left.numbers.map((lexeme, at) => [lexeme, right.numbers[at] as string] as const)
  // Whole numbers on both sides are classes, counts or ids, which must be equal.
  if (pairs.some(([one, other]) => areWhole(one, other) && one !== other)) return false
  const most = pairs.map(([one, other]) => (areWhole(one, other) ? MOST_WHOLE : MOST))
  return valuesAgree(left.numbers.map(Number), right.numbers.map(Number), (at) => most[at] as number)
}

function areWhole(one: string, other: string): boolean {
  return INTEGER.test(one) && INTEGER.test(other)
}

/** Compares little-endian tensors of one datatype of the Open Inference Protocol. */
export function blobsAgree(a: Uint8Array, b: Uint8Array, datatype: string): boolean {
  if (Buffer.compare(a, b) === 0) return true
  const size = datatype === 'FP32' ? 4 : datatype === 'FP64' ? 8 : 0
  if (size === 0 || a.length !== b.length) return false
  return valuesAgree(floats(a, size), floats(b, size), () => MOST)
}

/** `most`: the cap of the value at an index, when the largest value of the row is found. */
function valuesAgree(a: readonly number[], b: readonly number[], most: (at: number) => number): boolean {
  const scale = a.reduce(
    (largest, value, at) =>
      Number.isFinite(value) ? Math.max(largest, Math.min(Math.abs(value), most(at))) : largest,
    0,
  )
  return a.every((value, i) => {
    const other = b[i] as number
    if (Object.is(value, other) || value === other) return true
    const tolerance = RELATIVE * Math.max(Math.abs(value), Math.abs(other)) + OF_ROW * scale
    return Number.isFinite(value) && Math.abs(value - other) <= tolerance
  })
}

function floats(bytes: Uint8Array, size: 4 | 8): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: bytes.length / size }, (_, i) =>
    size === 4 ? view.getFloat32(i * 4, true) : view.getFloat64(i * 8, true),
  )
}

/** Numbers outside of strings, and the text around them without white space. */
function tokens(bytes: Uint8Array): { frame: string; numbers: string[] } {
  const numbers: string[] = []
  // Strings are the odd parts: a quote that is not escaped opens or closes one.
  const parts = Buffer.from(bytes)
    .toString('latin1')
    .split(/("(?:[^"\\]|\\.)*")/s)
  const frame = parts
    .map((part, i) =>
      i % 2 === 1
        ? part
        : part.replace(/\s+/g, '').replace(NUMBER, (lexeme) => {
            numbers.push(lexeme)
            return '0'
          }),
    )
    .join('')
  return { frame, numbers }
}
