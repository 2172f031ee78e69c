/**
 * Converts between JSON lists, nested or flat, and tensors in typed arrays.
 *
 * On reading, the literal decides: an integer datatype takes only integer literals in its range, a float takes any
 * number. On writing, a number is the shortest text that reads back as the same value of its datatype.
 */
import { ModelError } from './error.ts'
import { Decimal, type JsonValue } from './json.ts'
import {
  type Datatype,
  fits,
  makeData,
  sizeOf,
  type Tensor,
  type TensorData,
  type TensorSpec,
} from './runtime.ts'

/**
 * Bound of a tensor: more than 64 MiB of JSON can hold. The shape is guessed from the first elements, which may be long
 * while the others are short, and memory must not be allocated for such a guess.
 */
const MAX_ELEMENTS = 2 ** 25
/** Bound of a dimension: as many one-byte elements as a body has bytes at most. */
const MAX_LENGTH = 2 ** 26

const RANGES: Partial<Record<Datatype, readonly [bigint, bigint]>> = {
  INT8: [-(2n ** 7n), 2n ** 7n - 1n],
  INT16: [-(2n ** 15n), 2n ** 15n - 1n],
  INT32: [-(2n ** 31n), 2n ** 31n - 1n],
  INT64: [-(2n ** 63n), 2n ** 63n - 1n],
  UINT8: [0n, 2n ** 8n - 1n],
  UINT16: [0n, 2n ** 16n - 1n],
  UINT32: [0n, 2n ** 32n - 1n],
  UINT64: [0n, 2n ** 64n - 1n],
}

type Element = number | bigint | string

/** Reads one JSON element of a datatype; throws a 400 that says what the datatype takes. */
type ElementReader = (value: JsonValue) => Element

const refuse = (datatype: Datatype, value: JsonValue, wanted: string): never => {
  throw new ModelError(400, `${describe(value)} given where ${datatype} takes ${wanted}`)
}

/** A JSON value in a few words, for a message to whoever sent it. */
export function describe(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing'
  if (value instanceof Decimal) return `the decimal literal ${value.value.toFixed(1)}`
  if (value instanceof Map) return 'an object'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'string') return `the string ${JSON.stringify(value.slice(0, 40))}`
  return `${value as number | bigint | boolean | null}`
}

function integerReader(datatype: Datatype, [low, high]: readonly [bigint, bigint]): ElementReader {
  const wide = datatype.endsWith('64')
  const wanted = `an integer from ${low} to ${high}`
  return (value) => {
    if (typeof value !== 'number' && typeof value !== 'bigint') return refuse(datatype, value, wanted)
    if (typeof value === 'number' && !Number.isInteger(value)) return refuse(datatype, value, wanted)
    if (value < low || value > high) return refuse(datatype, value, wanted)
    return wide ? BigInt(value) : Number(value)
  }
}

function readerOf(datatype: Datatype): ElementReader {
  const range = RANGES[datatype]
  if (range) return integerReader(datatype, range)
  switch (datatype) {
    case 'BOOL':
      return (value) =>
        typeof value === 'boolean' ? Number(value) : refuse(datatype, value, 'true or false')
    case 'BYTES':
      return (value) => (typeof value === 'string' ? value : readBase64(value))
    default:
      return (value) => {
        if (typeof value === 'number') return value
        if (typeof value === 'bigint') return Number(value)
        return value instanceof Decimal ? value.value : refuse(datatype, value, 'a number')
      }
  }
}

/** `{"b64": "…"}`, TensorFlow Serving's form of a binary element. */
function readBase64(value: JsonValue): string {
  const text = value instanceof Map && value.size === 1 ? value.get('b64') : undefined
  if (typeof text !== 'string') return refuse('BYTES', value, 'a string or {"b64": "…"}')
  return readUtf8(Buffer.from(text, 'base64'))
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The engine's strings are text: bytes that are not UTF-8 would be changed, so they are refused. */
export function readUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw new ModelError(400, 'a BYTES element is not UTF-8, and this server takes text only', { cause })
  }
}

const isLeaf = (value: JsonValue): boolean => !Array.isArray(value)

/** The shape a nested list has along its first elements. */
function shapeOf(value: JsonValue): number[] {
  const shape: number[] = []
  for (let at: JsonValue | undefined = value; Array.isArray(at); at = at[0]) {
    shape.push(at.length)
    if (at.length === 0) break
  }
  return shape
}

/**
 * A nested list as a tensor for `spec`. Throws a 400 when lists of one depth differ in length, an element is not
 * of the datatype, or the shape does not fit.
 */
export function readNested(spec: TensorSpec, value: JsonValue): Tensor {
  const shape = shapeOf(value)
  checkShape(spec, shape)
  return { datatype: spec.datatype, shape, data: fill(spec, shape, value) }
}

/** An Open Inference tensor: `data` flat, or nested as its shape says. Throws as `readNested`. */
export function readShaped(spec: TensorSpec, shape: readonly number[], value: JsonValue): Tensor {
  checkShape(spec, shape)
  if (!Array.isArray(value)) throw new ModelError(400, `input "${spec.name}": "data" must be a list`)
  if (value.length > 0 && !isLeaf(value[0] ?? null)) {
    const found = shapeOf(value)
    if (!fits(found, shape)) throw unlike(spec, found, shape)
    return { datatype: spec.datatype, shape, data: fill(spec, shape, value) }
  }
  const size = sizeOf(shape)
  if (value.length !== size) {
    const mismatch = `${value.length} elements for shape [${shape.join(', ')}], which holds ${size}`
    throw new ModelError(400, `input "${spec.name}": ${mismatch}`)
  }
  return { datatype: spec.datatype, shape, data: fill(spec, [size], value) }
}

const unlike = (spec: TensorSpec, found: readonly number[], wanted: readonly number[]) =>
  new ModelError(
    400,
    `input "${spec.name}": shape [${found.join(', ')}] given, [${wanted.join(', ')}] wanted`,
  )

/** Throws a 400 unless a tensor of this shape may be given for `spec`. */
export function checkShape(spec: TensorSpec, shape: readonly number[]): void {
  if (!fits(shape, spec.shape)) throw unlike(spec, shape, spec.shape)
  // Beside a 0 any length is a tensor without elements, but the engine takes not every integer, or makes outputs as long.
  if (shape.some((n) => n > MAX_LENGTH))
    throw new ModelError(400, `input "${spec.name}": no dimension may be longer than ${MAX_LENGTH}`)
}

function fill(spec: TensorSpec, shape: readonly number[], value: JsonValue): TensorData {
  if (sizeOf(shape) > MAX_ELEMENTS) {
    throw new ModelError(
      400,
      `input "${spec.name}": [${shape.join(', ')}] is more than ${MAX_ELEMENTS} elements`,
    )
  }
  const read = readerOf(spec.datatype)
  const data = makeData(spec.datatype, sizeOf(shape)) as Element[]
  let next = 0
  const walk = (at: JsonValue, depth: number): void => {
    if (depth === shape.length) {
      data[next++] = read(at)
      return
    }
    if (!Array.isArray(at) || at.length !== shape[depth]) {
      const found = Array.isArray(at) ? `${at.length} elements` : describe(at)
      throw new ModelError(400, `input "${spec.name}": ${found} where a list of ${shape[depth]} was expected`)
    }
    for (const item of at) walk(item, depth + 1)
  }
  try {
    walk(value, 0)
  } catch (error) {
    if (error instanceof ModelError && !error.message.startsWith('input ')) {
      throw new ModelError(error.status, `input "${spec.name}", element ${next - 1}: ${error.message}`)
    }
    throw error
  }
  return data as TensorData
}

/** How the numbers that JSON cannot express are written. */
export interface NumberStyle {
  /** `token`: NaN, Infinity and -Infinity as TensorFlow Serving writes them; `null`: as KServe does. */
  readonly nonFinite: 'token' | 'null'
}

/** The shortest decimal that reads back as the same float32. */
function shortFloat(value: number): string {
  if (value === 0) return decimal(value)
  // A normal float32 always has six significant digits; a subnormal one may need only one.
  for (let digits = Math.abs(value) < 2 ** -126 ? 1 : 6; digits <= 9; digits += 1) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return decimal(short)
  }
  return decimal(value)
}

/** Always with a decimal point or an exponent, so that a typed reader sees a float; keeps the sign of -0. */
function decimal(value: number): string {
  if (Object.is(value, -0)) return '-0.0'
  const text = String(value)
  return Number.isInteger(value) && !text.includes('e') ? `${text}.0` : text
}

function writerOf(datatype: Datatype, style: NumberStyle): (value: Element) => string {
  switch (datatype) {
    case 'BOOL':
      return (value) => (value ? 'true' : 'false')
    case 'BYTES':
      return (value) => JSON.stringify(value)
    case 'FP32':
    case 'FP64': {
      const write = datatype === 'FP32' ? shortFloat : decimal
      return (value) => {
        const number = Number(value)
        if (Number.isFinite(number)) return write(number)
        return style.nonFinite === 'token' ? String(number) : 'null'
      }
    }
    default:
      return String
  }
}

/** All elements in row-major order, without brackets around them. */
export function writeFlat(tensor: Tensor, style: NumberStyle): string {
  return Array.from(tensor.data as Element[], writerOf(tensor.datatype, style)).join(', ')
}

/** The JSON text of each row, that is of each element of the first dimension. */
export function writeRows(tensor: Tensor, style: NumberStyle): string[] {
  const [count = 0, ...inner] = tensor.shape
  const write = writerOf(tensor.datatype, style)
  const data = tensor.data as Element[]
  let next = 0
  const nest = (depth: number): string => {
    if (depth === inner.length) return write(data[next++] ?? 0)
    const items: string[] = []
    for (let i = 0; i < (inner[depth] ?? 0); i += 1) items.push(nest(depth + 1))
    return `[${items.join(', ')}]`
  }
  return Array.from({ length: count }, () => nest(0))
}

/** The whole tensor as nested lists; a scalar as itself. */
export function writeNested(tensor: Tensor, style: NumberStyle): string {
  return tensor.shape.length === 0 ? writeFlat(tensor, style) : `[${writeRows(tensor, style).join(', ')}]`
}
