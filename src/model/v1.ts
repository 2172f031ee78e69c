/**
 * TensorFlow Serving's REST predict API: instances (rows) or inputs (columns) in, predictions or outputs out.
 *
 * It behaves as TensorFlow Serving does, down to the messages that clients see: NaN and Infinity as bare tokens, one
 * output unwrapped, several as objects, and rows only from outputs that have the rows of the inputs.
 */
import { ModelError } from './error.ts'
import { type JsonObject, type JsonValue, readJson } from './json.ts'
import type { Served } from './repository.ts'
import type { Datatype, Tensor, TensorSpec, Tensors } from './runtime.ts'
import { describe, readNested, writeNested, writeRows } from './tensors.ts'

const STYLE = { nonFinite: 'token' } as const

export interface Predict {
  readonly tensors: Tensors
  /** The form of the request, which the answer has, too. */
  readonly form: 'row' | 'column'
}

/** Throws a 400 that says which part of the body does not fit the model. */
export function readPredict(text: string, inputs: readonly TensorSpec[]): Predict {
  const body = readJson(text)
  if (!(body instanceof Map)) throw new ModelError(400, 'the body must be a JSON object')
  const signature = body.get('signature_name') ?? 'serving_default'
  if (signature !== 'serving_default') {
    throw new ModelError(400, `signature: ${describe(signature)} is not known: leave "signature_name" out`)
  }
  const instances = body.get('instances')
  const columns = body.get('inputs')
  if ((instances === undefined) === (columns === undefined)) {
    throw new ModelError(400, 'the body must have exactly one of "instances" and "inputs"')
  }
  return columns === undefined
    ? { form: 'row', tensors: readRows(instances ?? null, inputs) }
    : { form: 'column', tensors: readColumns(columns, inputs) }
}

function readRows(instances: JsonValue, inputs: readonly TensorSpec[]): Tensors {
  if (!Array.isArray(instances) || instances.length === 0) {
    throw new ModelError(400, '"instances" must be a list with at least one element')
  }
  const [only] = inputs
  if (inputs.length === 1 && only) {
    const values = instances.map((row) => (isNamed(row, only) ? (row.get(only.name) ?? null) : row))
    return new Map([[only.name, readNested(only, values)]])
  }
  const names = inputs.map(({ name }) => name).join(', ')
  for (const [i, row] of instances.entries()) {
    const isWhole =
      row instanceof Map && row.size === inputs.length && inputs.every(({ name }) => row.has(name))
    if (!isWhole)
      throw new ModelError(400, `instance ${i} must be an object with exactly the inputs ${names}`)
  }
  const rows = instances as readonly JsonObject[]
  return new Map(
    inputs.map((spec) => [
      spec.name,
      readNested(
        spec,
        rows.map((row) => row.get(spec.name) ?? null),
      ),
    ]),
  )
}

/** True for `{"<input>": value}`, which a model with one input takes as well as the plain value. */
const isNamed = (row: JsonValue, { name }: TensorSpec): row is JsonObject =>
  row instanceof Map && row.size === 1 && row.has(name)

function readColumns(columns: JsonValue, inputs: readonly TensorSpec[]): Tensors {
  const [only] = inputs
  if (inputs.length === 1 && only) {
    const value = columns instanceof Map && columns.has(only.name) ? columns.get(only.name) : columns
    return new Map([[only.name, readNested(only, value ?? null)]])
  }
  if (!(columns instanceof Map))
    throw new ModelError(400, '"inputs" must be an object with one member an input')
  return new Map(
    inputs.map((spec) => {
      const value = columns.get(spec.name)
      if (value === undefined) throw new ModelError(400, `"inputs" has no "${spec.name}"`)
      return [spec.name, readNested(spec, value)]
    }),
  )
}

/** Throws a 400 where the request is in row form and the outputs have no common first dimension. */
export function writePredict(outputs: Tensors, form: Predict['form']): string {
  return form === 'row'
    ? `{\n    "predictions": [${writePredictions(outputs)}]\n}`
    : `{\n    "outputs": ${writeColumns(outputs)}\n}`
}

function writePredictions(outputs: Tensors): string {
  const lists = [...outputs].map(([name, tensor]) => ({
    name: JSON.stringify(name),
    rows: rowsOf(name, tensor),
  }))
  const count = lists[0]?.rows.length ?? 0
  if (lists.some(({ rows }) => rows.length !== count)) {
    throw new ModelError(
      400,
      'the outputs differ in their first dimension: ask with "inputs" instead of "instances"',
    )
  }
  const [only] = lists
  if (lists.length === 1 && only) return only.rows.join(', ')
  const objects = Array.from(
    { length: count },
    (_, i) => `{${lists.map(({ name, rows }) => `${name}: ${rows[i]}`).join(', ')}}`,
  )
  return objects.join(', ')
}

function rowsOf(name: string, tensor: Tensor): string[] {
  if (tensor.shape.length > 0) return writeRows(tensor, STYLE)
  throw new ModelError(400, `output "${name}" is a scalar: ask with "inputs" instead of "instances"`)
}

function writeColumns(outputs: Tensors): string {
  const members = [...outputs].map(([name, tensor]) => [JSON.stringify(name), writeNested(tensor, STYLE)])
  if (members.length === 1) return members[0]?.[1] ?? 'null'
  return `{${members.map(([name, value]) => `${name}: ${value}`).join(', ')}}`
}

/** `GET /v1/models/M[/versions/V]`. */
export function statusOf(versions: readonly Served[]): object {
  const status = { error_code: 'OK', error_message: '' }
  return { model_version_status: versions.map(({ version }) => ({ version, state: 'AVAILABLE', status })) }
}

const DTYPES: Readonly<Record<Datatype, string>> = {
  BOOL: 'DT_BOOL',
  INT8: 'DT_INT8',
  INT16: 'DT_INT16',
  INT32: 'DT_INT32',
  INT64: 'DT_INT64',
  UINT8: 'DT_UINT8',
  UINT16: 'DT_UINT16',
  UINT32: 'DT_UINT32',
  UINT64: 'DT_UINT64',
  FP32: 'DT_FLOAT',
  FP64: 'DT_DOUBLE',
  BYTES: 'DT_STRING',
}

/** `GET /v1/models/M/metadata`. */
export function describeSignature({ name, version, inputs, outputs }: Served): string {
  const sides = (specs: readonly TensorSpec[]) =>
    Object.fromEntries(
      specs.map((spec) => {
        const dim = spec.shape.map((n) => ({ size: String(n), name: '' }))
        return [
          spec.name,
          { dtype: DTYPES[spec.datatype], tensor_shape: { dim, unknown_rank: false }, name: spec.name },
        ]
      }),
    )
  const signature = {
    inputs: sides(inputs),
    outputs: sides(outputs),
    method_name: 'tensorflow/serving/predict',
  }
  return JSON.stringify({
    model_spec: { name, signature_name: '', version },
    metadata: { signature_def: { signature_def: { serving_default: signature } } },
  })
}
