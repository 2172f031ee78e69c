/** What one row of a model's input is, and the numbers that stand in it. */

export interface RowInput {
  readonly name: string
  /** As the Open Inference Protocol writes it, such as `FP32`. */
  readonly datatype: string
  /** Of one row: without the dimension of the batch. */
  readonly shape: readonly number[]
}

export const DATATYPES = [
  'BOOL',
  'INT8',
  'UINT8',
  'INT16',
  'UINT16',
  'INT32',
  'UINT32',
  'INT64',
  'UINT64',
  'FP16',
  'BF16',
  'FP32',
  'FP64',
  'BYTES',
] as const

/** `image:FP32:8x8`, or `x:INT64` for one number a row; undefined: it is no input. */
export function parseInput(text: string): RowInput | undefined {
  const [, name = '', datatype = '', sizes] =
    /^([^:\s]+):([A-Z0-9]+)(?::([1-9]\d{0,8}(?:x[1-9]\d{0,8})*))?$/.exec(text) ?? []
  if (!DATATYPES.some((known) => known === datatype)) return undefined
  return { name, datatype, shape: (sizes ?? '1').split('x').map(Number) }
}

export const elementsOfRow = ({ shape }: RowInput): number =>
  shape.reduce((product, size) => product * size, 1)

/** Numbers of the rows of the batch of a key, which is counted from 1. Neighbouring batches share rows; the last shares with the first. */
export function rowsOf(key: number, { rows, overlap }: BatchShape, keys: number): number[] {
  const step = Math.max(1, Math.round(rows * (1 - overlap)))
  const first = (key - 1) * step
  return Array.from({ length: rows }, (_, i) => (first + i) % (keys * step))
}

export interface BatchShape {
  readonly rows: number
  readonly overlap: number
}

const VALUES = 17

/**
 * The elements of a row: whole numbers from 0 to 16, which suits the digits model and fits every datatype. The same row has the same
 * numbers each time, and no other row is likely to have them.
 */
export function elementsAt(row: number, { name }: RowInput, count: number): Uint8Array {
  let state = Math.imul(row + 1, 2_654_435_761) >>> 0
  for (let i = 0; i < name.length; i++) state = Math.imul(state ^ name.charCodeAt(i), 0x9e37_79b1) >>> 0
  const elements = new Uint8Array(count)
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    elements[i] = Math.floor((state / 2 ** 32) * VALUES)
  }
  return elements
}

/** What a BYTES element says. */
export const textAt = (row: number, element: number): string => `text ${row}.${element}`
