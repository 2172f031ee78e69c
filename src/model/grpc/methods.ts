/** The methods that are served over gRPC: a message in, a message out. They say what the paths of HTTP say. */
import { readInferMessage } from '../../protocol/oip/grpc/message.ts'
import { SERVICE } from '../../protocol/oip/grpc/target.ts'
import { writeSizes } from '../../protocol/oip/grpc/write-answer.ts'
import { BYTES, MalformedProtobuf, MessageReader } from '../../protocol/protobuf/reader.ts'
import { MessageWriter } from '../../protocol/protobuf/writer.ts'
import type { CallMeter } from '../call-meter.ts'
import { ModelError } from '../error.ts'
import type { Repository } from '../repository.ts'
import type { TensorSpec } from '../runtime.ts'
import { PLATFORM, SERVER } from '../v2.ts'
import { readGrpcInfer, writeGrpcInfer } from './infer.ts'

export interface MethodOptions {
  readonly repository: Repository
  /** The version that the server reports of itself. */
  readonly version: string
  readonly meter: CallMeter
  readonly isDraining: () => boolean
}

/** Throws a ModelError, and MalformedProtobuf where the message is none. */
export type UnaryMethod = (message: Uint8Array, signal: AbortSignal) => MessageWriter | Promise<MessageWriter>

/** By path. */
export function createMethods(options: MethodOptions): ReadonlyMap<string, UnaryMethod> {
  const { repository, version, isDraining } = options
  const isReady = (): boolean => repository.isReady && !isDraining()
  return new Map<string, UnaryMethod>([
    ['/grpc.health.v1.Health/Check', (message) => checkHealth(message, isReady())],
    [`${SERVICE}ServerLive`, () => truth(true)],
    [`${SERVICE}ServerReady`, () => truth(isReady())],
    [`${SERVICE}ServerMetadata`, () => describeServer(version)],
    [`${SERVICE}RepositoryIndex`, (message) => indexOf(repository, message)],
    [
      `${SERVICE}ModelReady`,
      (message) => {
        if (isDraining()) return truth(false)
        const asked = askedModel(message)
        repository.find(asked.model, asked.version)
        return truth(true)
      },
    ],
    [`${SERVICE}ModelMetadata`, (message) => describeGrpcModel(repository, message)],
    [
      `${SERVICE}ModelInfer`,
      (message, signal) => options.meter.run(() => infer(repository, message, signal)),
    ],
  ])
}

async function infer(repository: Repository, bytes: Uint8Array, signal: AbortSignal): Promise<MessageWriter> {
  const message = readInferMessage(bytes)
  const served = repository.find(message.model, message.version === '' ? undefined : message.version)
  const call = readGrpcInfer(message, served)
  return writeGrpcInfer(served, call, await served.runner.run(call.tensors, signal))
}

function truth(value: boolean): MessageWriter {
  const answer = new MessageWriter()
  return value ? answer.varint(1, 1) : answer
}

const SERVING = 1
const NOT_SERVING = 2
/** What may be asked for: the server as a whole, and its only service. */
const SERVICES = new Set(['', SERVICE.slice(1, -1)])

/** HealthCheckRequest: 1 service. HealthCheckResponse: 1 status. */
function checkHealth(message: Uint8Array, isReady: boolean): MessageWriter {
  const service = textsOf(message).get(1) ?? ''
  if (!SERVICES.has(service)) throw new ModelError(404, `there is no service "${service}" here`)
  return new MessageWriter().varint(1, isReady ? SERVING : NOT_SERVING)
}

function describeServer(version: string): MessageWriter {
  const answer = new MessageWriter().text(1, SERVER.name).text(2, version)
  for (const extension of SERVER.extensions) answer.text(3, extension)
  return answer
}

/** RepositoryIndexRequest: 2 ready. RepositoryIndexResponse: 1 models, each 1 name, 2 version, 3 state, 4 reason. */
function indexOf(repository: Repository, message: Uint8Array): MessageWriter {
  const answer = new MessageWriter()
  const put = (name: string, version: string, [state, reason]: readonly [string, string]): void => {
    const model = new MessageWriter().text(1, name).text(2, version).text(3, state)
    answer.message(1, reason === '' ? model : model.text(4, reason))
  }
  for (const [name, versions] of repository.loaded()) {
    for (const { version } of versions) put(name, version, ['READY', ''])
    if (versions.length === 0 && !asksReadyOnly(message)) put(name, '', ['LOADING', 'it is being loaded'])
  }
  return answer
}

function asksReadyOnly(message: Uint8Array): boolean {
  const reader = new MessageReader(message)
  let isTrue = false
  while (reader.next()) if (reader.field === 2) isTrue = reader.isTrue
  return isTrue
}

/** ModelMetadataResponse: 1 name, 2 versions, 3 platform, 4 inputs, 5 outputs, each 1 name, 2 datatype, 3 shape. */
function describeGrpcModel(repository: Repository, message: Uint8Array): MessageWriter {
  const { model, version } = askedModel(message)
  const { name, inputs, outputs } = repository.find(model, version)
  const answer = new MessageWriter().text(1, name)
  for (const served of repository.versions(model)) answer.text(2, served.version)
  answer.text(3, PLATFORM)
  for (const spec of inputs) answer.message(4, describeTensor(spec))
  for (const spec of outputs) answer.message(5, describeTensor(spec))
  return answer
}

function describeTensor({ name, datatype, shape }: TensorSpec): MessageWriter {
  const tensor = new MessageWriter().text(1, name).text(2, datatype)
  writeSizes(tensor, shape)
  return tensor
}

/** Requests about a model have 1 name and 2 version. */
function askedModel(message: Uint8Array): { readonly model: string; readonly version: string | undefined } {
  const texts = textsOf(message)
  const version = texts.get(2) ?? ''
  return { model: texts.get(1) ?? '', version: version === '' ? undefined : version }
}

/** The strings of a message by field, of which the last counts. */
function textsOf(message: Uint8Array): ReadonlyMap<number, string> {
  const texts = new Map<number, string>()
  const reader = new MessageReader(message)
  while (reader.next()) {
    if (reader.field > 2) continue
    if (reader.wire !== BYTES) throw new MalformedProtobuf('a name has another type')
    texts.set(reader.field, Buffer.from(reader.utf8()).toString('utf8'))
  }
  return texts
}
