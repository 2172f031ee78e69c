/**
 * What a backend that takes only gRPC is asked instead of the paths of REST, and its answers in the words of REST: so its health
 * and its versions are judged as those of all others.
 */
import { BYTES, MessageReader, VARINT } from '../../protocol/protobuf/reader.ts'
import { MessageWriter } from '../../protocol/protobuf/writer.ts'

export interface GrpcQuestion {
  /** `/package.Service/Method` */
  readonly method: string
  readonly message: Uint8Array
  /** The answer as REST has it. Throws MalformedProtobuf. */
  readonly translate: (message: Uint8Array) => RestAnswer
}

interface RestAnswer {
  readonly status: number
  readonly body: string
}

/** The questions for a path of REST, the first that the backend knows counts. Another path is a method, asked with nothing. */
export function grpcQuestions(path: string): readonly GrpcQuestion[] {
  if (path === '/v2/health/ready') return [HEALTH, READY]
  if (path === '/v2/repository/index') return [INDEX]
  const { protocol, model, label } =
    /^\/(?<protocol>v1|v2)\/models\/(?<model>[^/]+)(?:\/labels\/(?<label>[^/]+))?$/.exec(path)?.groups ?? {}
  if (model !== undefined) {
    const name = decodeURIComponent(model)
    return [protocol === 'v1' ? statusOf(name, label && decodeURIComponent(label)) : metadataOf(name)]
  }
  return METHOD.test(path) ? [asked(path, [], () => OK)] : []
}

const METHOD = /^\/[\w.]+\.\w+\/\w+$/

/** The HTTP status for a status of gRPC other than 0 (google/rpc/code.proto). */
export function httpStatusOf(code: number): number {
  return HTTP_STATUS[code] ?? 500
}

const HTTP_STATUS: Readonly<Record<number, number>> = {
  3: 400,
  4: 504,
  5: 404,
  7: 403,
  8: 429,
  9: 400,
  11: 400,
  12: 501,
  14: 503,
  16: 401,
}

const OK: RestAnswer = { status: 200, body: '' }
const NOT_READY: RestAnswer = { status: 503, body: '' }

function asked(
  method: string,
  message: MessageWriter | [],
  translate: GrpcQuestion['translate'],
): GrpcQuestion {
  return { method, message: message instanceof MessageWriter ? message.join() : NOTHING, translate }
}

const NOTHING = new Uint8Array(0)
const SERVING = 1

/** HealthCheckResponse: 1 status. */
const HEALTH = asked('/grpc.health.v1.Health/Check', [], (answer) => {
  const { status } = fieldsOf(answer, { status: 1 })
  return status[0]?.number === SERVING ? OK : NOT_READY
})

/** ServerReadyResponse: 1 ready. */
const READY = asked('/inference.GRPCInferenceService/ServerReady', [], (answer) => {
  const { ready } = fieldsOf(answer, { ready: 1 })
  return ready[0]?.number === 1 ? OK : NOT_READY
})

/** RepositoryIndexResponse: 1 models, each 1 name, 2 version, 3 state. */
const INDEX = asked('/inference.GRPCInferenceService/RepositoryIndex', [], (answer) => {
  const { models } = fieldsOf(answer, { models: 1 })
  return json(
    models.map((model) => {
      const { name, version, state } = fieldsOf(model.bytes, { name: 1, version: 2, state: 3 })
      return { name: textOf(name), version: textOf(version), state: textOf(state) ?? 'READY' }
    }),
  )
})

/** ModelMetadataRequest: 1 name. ModelMetadataResponse: 1 name, 2 versions, 4 inputs, 5 outputs, 6 properties. */
function metadataOf(model: string): GrpcQuestion {
  const message = new MessageWriter().text(1, model)
  return asked('/inference.GRPCInferenceService/ModelMetadata', message, (answer) => {
    const { name, versions, inputs, outputs } = fieldsOf(answer, {
      name: 1,
      versions: 2,
      inputs: 4,
      outputs: 5,
    })
    return json({
      name: textOf(name) ?? '',
      versions: versions.map(({ bytes }) => Buffer.from(bytes).toString()),
      inputs: inputs.map(tensorOf),
      outputs: outputs.map(tensorOf),
    })
  })
}

/** TensorMetadata: 1 name, 2 datatype, 3 shape. */
function tensorOf({ bytes }: FieldValue): object {
  const { name, datatype, shape } = fieldsOf(bytes, { name: 1, datatype: 2, shape: 3 })
  return { name: textOf(name), datatype: textOf(datatype), shape: shape.map(dimensionsOf).flat() }
}

/** A dimension, or a packed list of them. */
function dimensionsOf({ number, bytes }: FieldValue): number[] {
  if (number !== undefined) return [number]
  const list = Buffer.from(bytes)
  const dimensions: number[] = []
  // Each as a field of a message, since a list has no tags of its own.
  for (let at = 0; at < list.length; ) {
    let end = at
    while ((list[end] ?? 0) > 0x7f) end++
    const [dimension] = fieldsOf(Buffer.concat([Buffer.of(8), list.subarray(at, end + 1)]), { one: 1 }).one
    dimensions.push(dimension?.number ?? 0)
    at = end + 1
  }
  return dimensions
}

/** GetModelStatusRequest: 1 model_spec {1 name, 4 version_label}. Response: 1 model_version_status {1 version, 2 state}. */
function statusOf(model: string, label: string | undefined): GrpcQuestion {
  const spec = new MessageWriter().text(1, model)
  if (label !== undefined) spec.text(4, label)
  const message = new MessageWriter().message(1, spec)
  return asked('/tensorflow.serving.ModelService/GetModelStatus', message, (answer) => {
    const { versions } = fieldsOf(answer, { versions: 1 })
    return json({
      model_version_status: versions.map(({ bytes }) => {
        const { version, state } = fieldsOf(bytes, { version: 1, state: 2 })
        return { version: String(version[0]?.number ?? 0), state: STATES[state[0]?.number ?? 0] ?? 'UNKNOWN' }
      }),
    })
  })
}

const STATES: Readonly<Record<number, string>> = {
  10: 'START',
  20: 'LOADING',
  30: 'AVAILABLE',
  40: 'UNLOADING',
  50: 'END',
}

/** A number where it is written as a varint. */
interface FieldValue {
  readonly number: number | undefined
  readonly bytes: Uint8Array
}

/** The values of these fields, by their numbers, in the order of the wire. */
function fieldsOf<N extends string>(
  message: Uint8Array,
  numbers: Readonly<Record<N, number>>,
): Record<N, FieldValue[]> {
  const names = new Map(Object.entries<number>(numbers).map(([name, number]) => [number, name as N]))
  const values = Object.fromEntries([...names.values()].map((name) => [name, []])) as unknown as Record<
    N,
    FieldValue[]
  >
  const reader = new MessageReader(message)
  while (reader.next()) {
    const name = names.get(reader.field)
    if (name === undefined) continue
    if (reader.wire === VARINT) values[name].push({ number: Number(reader.int64), bytes: NOTHING })
    else if (reader.wire === BYTES) values[name].push({ number: undefined, bytes: reader.bytes() })
  }
  return values
}

function textOf([value]: readonly FieldValue[]): string | undefined {
  return value && Buffer.from(value.bytes).toString()
}

function json(value: unknown): RestAnswer {
  return { status: 200, body: JSON.stringify(value) }
}
