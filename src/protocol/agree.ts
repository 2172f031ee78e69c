/**
 * Decides whether two answers to one row agree, and says how they differ. Kernels round differently by batch size, so floats may
 * differ in
 * their last bits; everything else must be equal. The tolerance is that of single precision, relative to each
 * value and to the largest of its row: a probability of 1e-12 beside one of 1 may be off by more than its own size.
 * The largest value is capped: beside a time in seconds any two scores would agree.
 */
import type { Difference } from './difference.ts'

const RELATIVE = 1e-4
const OF_ROW = 1e-5
const MOST = 100
/** A whole number among floats may be a probability printed without a fraction; one above 1 is an id or a count. */
const MOST_WHOLE = 1

const NUMBER = /-?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|Infinity)|NaN/g
const INTEGER = /^-?\d+$/

/** Compares JSON texts: numbers by value, all else byte for byte, except white space between tokens. */
export function textsAgree(a: Uint8Array, b: Uint8Array): boolean {
  return textDifference(a, b) === undefined
}

/** How two JSON texts differ that do not agree. */
export function textDifference(a: Uint8Array, b: Uint8Array): Difference | undefined {
  if (Buffer.compare(a, b) === 0) return undefined
  const left = tokens(a)
  const right = tokens(b)
  if (left.frame !== right.frame || left.numbers.length !== right.numbers.length) return TEXT
  const pairs = left.numbers.map((lexeme, at) => [lexeme, right.numbers[at] as string] as const)
  // Whole numbers on both sides are classes, counts or ids, which must be equal.
  const ids = pairs.find(([one, other]) => areWhole(one, other) && one !== other)
  if (ids) return { what: 'value', by: Math.abs(Number(ids[0]) - Number(ids[1])) }
  const most = pairs.map(([one, other]) => (areWhole(one, other) ? MOST_WHOLE : MOST))
  const [values, others] = [left.numbers.map(Number), right.numbers.map(Number)]
  return valueDifference(values, others, (at) => most[at] as number)
}

const TEXT: Difference = { what: 'text' }

function areWhole(one: string, other: string): boolean {
  return INTEGER.test(one) && INTEGER.test(other)
}

/** Compares little-endian tensors of one datatype of the Open Inference Protocol. */
export function blobsAgree(a: Uint8Array, b: Uint8Array, datatype: string): boolean {
  return blobDifference(a, b, datatype) === undefined
}

/** How two such tensors differ that do not agree. */
export function blobDifference(a: Uint8Array, b: Uint8Array, datatype: string): Difference | undefined {
  if (Buffer.compare(a, b) === 0) return undefined
  const size = datatype === 'FP32' ? 4 : datatype === 'FP64' ? 8 : 0
  if (a.length !== b.length) return { what: 'shape' }
  return size === 0 ? { what: 'value' } : valueDifference(floats(a, size), floats(b, size), () => MOST)
}

/** `most`: the cap of the value at an index, when the largest value of the row is found. */
function valueDifference(
  a: readonly number[],
  b: readonly number[],
  most: (at: number) => number,
): Difference | undefined {
  const scale = a.reduce(
    (largest, value, at) =>
      Number.isFinite(value) ? Math.max(largest, Math.min(Math.abs(value), most(at))) : largest,
    0,
  )
  let by = -1
  for (const [i, value] of a.entries()) {
    const other = b[i] as number
    if (Object.is(value, other) || value === other) continue
    const apart = Math.abs(value - other)
    const tolerance = RELATIVE * Math.max(Math.abs(value), Math.abs(other)) + OF_ROW * scale
    if (Number.isFinite(value) && apart <= tolerance) continue
    by = Math.max(by, Number.isNaN(apart) ? Infinity : apart)
  }
  return by < 0 ? undefined : { what: 'value', by }
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
