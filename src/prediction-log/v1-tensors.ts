/**
 * The tensors of TensorFlow Serving's JSON. It does not say datatypes, which only the model's signature knows, so they are read
 * from the spelling: integers are INT64, other numbers FLOAT (DOUBLE beyond its range), `{"b64": …}` and text STRING.
 */
import { elements, type LoggedTensor, type LoggedTensors, type Scalar, Spelled, tensorOf } from './tensor.ts'

/** `rows` and `columns`: the members of a request or of an answer; they also name the tensor that has no name in the JSON. */
export interface V1Members {
  readonly rows: 'instances' | 'predictions'
  readonly columns: 'inputs' | 'outputs'
}

/** Throws a TypeError where the JSON has no tensors. */
export function readV1(body: unknown, { rows, columns }: V1Members): LoggedTensors {
  if (!isObject(body)) throw new TypeError('the body is no object')
  const listed = body[rows]
  if (Array.isArray(listed)) return byRow(listed, rows)
  const column = body[columns]
  if (column === undefined) throw new TypeError(`the body has neither ${rows} nor ${columns}`)
  return isObject(column) && !isBytes(column)
    ? new Map(Object.entries(column).map(([name, value]) => [name, tensor(value)]))
    : new Map([[columns, tensor(column)]])
}

function byRow(listed: readonly unknown[], name: string): LoggedTensors {
  const [first] = listed
  if (!isObject(first) || isBytes(first)) return new Map([[name, tensor(listed)]])
  const names = Object.keys(first)
  const rowsOf = listed.map((row) => {
    if (!isObject(row) || Object.keys(row).length !== names.length) throw new TypeError('the rows differ')
    return row
  })
  return new Map(names.map((key) => [key, tensor(rowsOf.map((row) => row[key]))]))
}

function tensor(value: unknown): LoggedTensor {
  const shape: number[] = []
  for (let at = value; Array.isArray(at); at = at[0]) shape.push(at.length)
  const values: (Scalar | Uint8Array)[] = []
  flatten(value, shape, values)
  if (values.length !== elements(shape)) throw new TypeError('the lists differ in length')
  if (values.some((each) => each instanceof Uint8Array)) return ofBytes(shape, values)
  return tensorOf(typeOf(values as Scalar[]), shape, values as Scalar[])
}

function ofBytes(shape: readonly number[], values: readonly unknown[]): LoggedTensor {
  const content = values.map((each) => {
    if (typeof each === 'string') return Buffer.from(each)
    if (each instanceof Uint8Array) return each
    throw new TypeError('bytes among other values')
  })
  return { type: 'STRING', shape, content }
}

function flatten(value: unknown, shape: readonly number[], into: (Scalar | Uint8Array)[], depth = 0): void {
  if (Array.isArray(value)) {
    if (value.length !== shape[depth]) throw new TypeError('the lists differ in length')
    for (const member of value) flatten(member, shape, into, depth + 1)
  } else if (depth !== shape.length) {
    throw new TypeError('the lists differ in depth')
  } else if (isObject(value) && isBytes(value)) {
    into.push(Buffer.from(value.b64, 'base64'))
  } else if (isScalar(value)) {
    into.push(value)
  } else {
    throw new TypeError('a value that belongs to no tensor')
  }
}

function typeOf(values: readonly Scalar[]): 'STRING' | 'BOOL' | 'INT64' | 'FLOAT' | 'DOUBLE' {
  const [first] = values
  if (typeof first === 'string') return 'STRING'
  if (typeof first === 'boolean') return 'BOOL'
  if (values.every(isInteger) && values.length > 0) return 'INT64'
  return values.every((each) =>
    Number.isFinite(Math.fround(Number(each instanceof Spelled ? each.value : each))),
  )
    ? 'FLOAT'
    : 'DOUBLE'
}

function isInteger(value: Scalar): boolean {
  return typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value))
}

function isScalar(value: unknown): value is Scalar {
  return ['number', 'bigint', 'boolean', 'string'].includes(typeof value) || value instanceof Spelled
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Spelled)
}

function isBytes(value: Record<string, unknown>): value is { b64: string } {
  return typeof value['b64'] === 'string' && Object.keys(value).length === 1
}
