/**
 * The Open Inference Protocol over REST, with Triton's binary tensor data extension.
 *
 * Parameters that this server does not know are ignored, as the protocol demands; those that would change the meaning
 * of the call (sequences, shared memory, classification) are refused.
 */
import { readBinary, writeBinary } from './binary.ts'
import { ModelError } from './error.ts'
import { type JsonObject, type JsonValue, readJson } from './json.ts'
import type { Served } from './repository.ts'
import type { Tensor, TensorSpec, Tensors } from './runtime.ts'
import { readShaped, writeFlat } from './tensors.ts'
import {
  checkDatatype,
  checkSizes,
  GivenInputs,
  notSizes,
  outputNamed,
  refuseOutputParameters,
  refuseSequence,
  refuseSharedMemory,
} from './v2-checks.ts'

const STYLE = { nonFinite: 'null' } as const

export interface WantedOutput {
  readonly name: string
  readonly isBinary: boolean
}

export interface Infer {
  readonly id: string | undefined
  readonly tensors: Tensors
  readonly wanted: readonly WantedOutput[]
}

export interface InferReply {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Buffer
}

/** What a call must fit. */
export type Face = Pick<Served, 'inputs' | 'outputs'>

/**
 * `jsonLength` is the Inference-Header-Content-Length: undefined, the whole body is JSON; 0, the body is the one
 * input's bytes. Throws a 400 that says which part does not fit the model.
 */
export function readInfer(body: Buffer, jsonLength: number | undefined, face: Face): Infer {
  if (jsonLength === 0) return readRaw(body, face)
  if (jsonLength !== undefined && jsonLength > body.length) {
    throw new ModelError(
      400,
      `Inference-Header-Content-Length is ${jsonLength}, the body has ${body.length} bytes`,
    )
  }
  const call = objectOf(readJson(body.toString('utf8', 0, jsonLength)), 'the body')
  const parameters = parametersOf(call)
  refuseSequence((name) => parameters.get(name))
  const id = call.get('id')
  if (id !== undefined && typeof id !== 'string') throw new ModelError(400, '"id" must be a string')
  const blobs = jsonLength === undefined ? Buffer.alloc(0) : body.subarray(jsonLength)
  return {
    id,
    tensors: readInputs(call, blobs, face.inputs),
    wanted: readOutputs(call, parameters, face.outputs),
  }
}

function readRaw(body: Buffer, { inputs, outputs }: Face): Infer {
  const [only] = inputs
  if (inputs.length !== 1 || !only)
    throw new ModelError(400, 'a raw body needs a model with exactly one input')
  const shape = only.shape.map((n, i) => (n === -1 && i === 0 ? 1 : n))
  if (shape.includes(-1))
    throw new ModelError(400, `the shape of "${only.name}" is open: a raw body cannot say it`)
  const tensor: Tensor =
    only.datatype === 'BYTES' ? readRawString(only, shape, body) : readBinary(only, shape, body)
  const wanted = outputs.map(({ name }) => ({ name, isBinary: true }))
  return { id: undefined, tensors: new Map([[only.name, tensor]]), wanted }
}

/** The whole body is the one element; its length is not written before it. */
function readRawString(spec: TensorSpec, shape: readonly number[], body: Buffer): Tensor {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(body.length)
  return readBinary(spec, shape, Buffer.concat([length, body]))
}

function objectOf(value: JsonValue | undefined, what: string): JsonObject {
  if (value instanceof Map) return value
  throw new ModelError(400, `${what} must be a JSON object`)
}

const NONE: JsonObject = new Map()

const parametersOf = (owner: JsonObject): JsonObject => {
  const parameters = owner.get('parameters')
  return parameters === undefined ? NONE : objectOf(parameters, '"parameters"')
}

function readInputs(call: JsonObject, blobs: Buffer, specs: readonly TensorSpec[]): Tensors {
  const given = call.get('inputs')
  if (!Array.isArray(given)) throw new ModelError(400, '"inputs" must be a list of tensors')
  const inputs = new GivenInputs(specs)
  let at = 0
  for (const each of given) {
    const input = objectOf(each, 'each of "inputs"')
    const spec = inputs.spec(input.get('name'))
    const length = blobLength(input, spec)
    inputs.put(
      spec,
      readInput(input, spec, length === undefined ? undefined : blobs.subarray(at, at + length)),
    )
    at += length ?? 0
  }
  const tensors = inputs.all()
  if (at !== blobs.length) {
    throw new ModelError(400, `${blobs.length} bytes of binary data for inputs that declare ${at}`)
  }
  return tensors
}

/** The `binary_data_size` of an input; undefined when its data are JSON. */
function blobLength(input: JsonObject, { name }: TensorSpec): number | undefined {
  const parameters = parametersOf(input)
  refuseSharedMemory(name, parameters)
  const size = parameters.get('binary_data_size')
  if ((size === undefined) === (input.get('data') === undefined)) {
    throw new ModelError(400, `input "${name}" must have exactly one of "data" and "binary_data_size"`)
  }
  if (size === undefined || (typeof size === 'number' && Number.isInteger(size) && size >= 0)) return size
  throw new ModelError(400, `input "${name}": "binary_data_size" must be a number of bytes`)
}

function readInput(input: JsonObject, spec: TensorSpec, blob: Buffer | undefined): Tensor {
  checkDatatype(spec, input.get('datatype'))
  const shape = input.get('shape')
  if (!Array.isArray(shape)) throw notSizes(spec)
  checkSizes(spec, shape)
  const sizes = shape as number[]
  return blob ? readBinary(spec, sizes, blob) : readShaped(spec, sizes, input.get('data') ?? null)
}

function readOutputs(call: JsonObject, parameters: JsonObject, specs: readonly TensorSpec[]): WantedOutput[] {
  const byDefault = parameters.get('binary_data_output') === true
  const requested = call.get('outputs')
  if (requested === undefined) return specs.map(({ name }) => ({ name, isBinary: byDefault }))
  if (!Array.isArray(requested)) throw new ModelError(400, '"outputs" must be a list')
  const wanted = new Map<string, WantedOutput>()
  for (const each of requested) {
    const output = objectOf(each, 'each of "outputs"')
    const name = outputNamed(output.get('name'), specs)
    const own = parametersOf(output)
    refuseOutputParameters(name, own)
    wanted.set(name, { name, isBinary: own.get('binary_data') === true })
  }
  return wanted.size > 0 ? [...wanted.values()] : specs.map(({ name }) => ({ name, isBinary: byDefault }))
}

/** The answer to `infer`: JSON, followed by the outputs that were wanted binary. */
export function writeInfer({ name, version }: Served, call: Infer, outputs: Tensors): InferReply {
  const blobs: Buffer[] = []
  const members: string[] = []
  for (const { name: output, isBinary } of call.wanted) {
    const tensor = outputs.get(output)
    if (!tensor) continue
    const face = `"name": ${JSON.stringify(output)}, "datatype": "${tensor.datatype}", "shape": [${tensor.shape.join(', ')}]`
    const blob = isBinary ? writeBinary(tensor) : undefined
    if (blob) blobs.push(blob)
    const data = blob
      ? `"parameters": {"binary_data_size": ${blob.length}}`
      : `"data": [${writeFlat(tensor, STYLE)}]`
    members.push(`{${face}, ${data}}`)
  }
  const id = call.id === undefined ? '' : `"id": ${JSON.stringify(call.id)}, `
  const model = `"model_name": ${JSON.stringify(name)}, "model_version": ${JSON.stringify(version)}`
  const json = `{${id}${model}, "outputs": [${members.join(', ')}]}`
  if (blobs.length === 0) return { headers: { 'content-type': 'application/json' }, body: json }
  const head = Buffer.from(json)
  const headers = {
    'content-type': 'application/octet-stream',
    'inference-header-content-length': String(head.length),
  }
  return { headers, body: Buffer.concat([head, ...blobs]) }
}

/** What this server says of itself, over HTTP and over gRPC. */
export const SERVER = { name: 'infergate-model-server', extensions: ['binary_tensor_data'] } as const
export const PLATFORM = 'onnxruntime_onnx'

/** `GET /v2/models/M[/versions/V]`. */
export function describeModel(served: Served, versions: readonly Served[]): string {
  return JSON.stringify({
    name: served.name,
    versions: versions.map(({ version }) => version),
    platform: PLATFORM,
    inputs: served.inputs,
    outputs: served.outputs,
  })
}
