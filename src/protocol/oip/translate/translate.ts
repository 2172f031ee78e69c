/**
 * Calls for servers that are reached over the other transport alone: a gRPC call as a REST request, a REST request as a gRPC
 * call, and their answers back. Inference, health and metadata have both forms; whatever else is asked has one.
 */
import { type Call, header, type RawPairs, type WholeBody } from '../../../core/call.ts'
import { GatewayError } from '../../../core/errors.ts'
import { ambiguity } from '../../../core/path.ts'
import type { Reply } from '../../../core/reply.ts'
import { statusReply } from '../../grpc/fault.ts'
import { GRPC_TYPE, isGrpc } from '../../grpc/fields.ts'
import { onlyMessage, PREFIX_BYTES, withPrefix } from '../../grpc/message.ts'
import { httpOfStatus, OK_TRAILERS, statusOf } from '../../grpc/status.ts'
import { jsonReply } from '../../json/reply.ts'
import { MalformedProtobuf, MessageReader } from '../../protobuf/reader.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import type { NamedModel, Protocol, Translation } from '../../protocol.ts'
import { HEADER_LENGTH, withoutOwnFields } from '../body-fields.ts'
import { BLOB_FORM } from '../forms.ts'
import { translatedError } from '../grpc/errors.ts'
import { readInferMessage } from '../grpc/message.ts'
import { namedModel } from '../grpc/model.ts'
import { INFER_PATH, SERVICE } from '../grpc/target.ts'
import { type AnswerFields, jsonOfMessage, LIVE, MODEL, messageOfJson, READY, SERVER } from './about.ts'
import { grpcMessage } from './to-grpc.ts'
import { restBody } from './to-rest.ts'
import { Untranslatable } from './untranslatable.ts'

/** The longest message of a compressed call. */
const MAX_MESSAGE_BYTES = 64 << 20

type Address = Protocol['address']

/**
 * The call for a server of the other form. `supports`: the server has shown this form. Throws GatewayError where the call has no
 * such form: `badRequest` if it is at fault, otherwise `noTransport`.
 */
export function translate(
  call: Call,
  body: WholeBody,
  { supports, address }: { readonly supports: (form: number) => boolean; readonly address: Address },
): Translation {
  const bytes = body instanceof Uint8Array ? body : body.slice(0, body.length)
  const own = { ...call, body: bytes }
  try {
    if (isGrpc(call.headers)) return toRest(own, bytes, { isBinary: supports(BLOB_FORM), address })
    return toGrpc(own, bytes, address)
  } catch (error) {
    const { status, message } = asUntranslatable(error)
    throw new GatewayError(status === 'INVALID_ARGUMENT' ? 'badRequest' : 'noTransport', message)
  }
}

type Asking = Pick<Call, 'method' | 'path' | 'query' | 'headers' | 'body' | 'target'>

/** Throws what is no error of the translation. */
function asUntranslatable(error: unknown): Untranslatable {
  if (error instanceof MalformedProtobuf) return new Untranslatable('INVALID_ARGUMENT', error.message)
  if (error instanceof Untranslatable) return error
  throw error
}

/** The answer that `make` returns, or, in the caller's form, why there is none. */
function orRefusal(call: Asking, make: () => Reply): Reply {
  try {
    return make()
  } catch (error) {
    const { status, message } = asUntranslatable(error)
    if (isGrpc(call.headers)) return statusReply(status, message)
    return jsonReply(httpOfStatus(status), Buffer.from(JSON.stringify({ error: message })))
  }
}

/** The answer to an inference in the caller's form. */
function answered(call: Asking, reply: Reply, address: Address): Reply {
  return orRefusal(call, () => {
    const own = address(reply, call)
    if (!own)
      throw new Untranslatable('UNIMPLEMENTED', 'the answer of the server has no form that was asked for')
    return own
  })
}

function toRest(
  call: Asking,
  body: Uint8Array,
  { isBinary, address }: { readonly isBinary: boolean; readonly address: Address },
): Translation {
  if (call.path !== INFER_PATH) return aboutToRest(call, body)
  const message = onlyMessage(body, header(call.headers, 'grpc-encoding'), MAX_MESSAGE_BYTES)
  if ('bypass' in message) throw new Untranslatable('INVALID_ARGUMENT', 'the body is not one message')
  const request = readInferMessage(message)
  const { json, blobs } = restBody(request, isBinary)
  const own = blobs
    ? ['content-type', 'application/octet-stream', HEADER_LENGTH, String(json.length)]
    : ['content-type', 'application/json']
  return {
    method: 'POST',
    path: `${modelPath(request)}/infer`,
    headers: (outgoing) => [...own, ...withoutTransport(outgoing)],
    body: blobs ? Buffer.concat([json, ...blobs]) : json,
    answer: (reply) => answered(call, reply, address),
  }
}

/** Names go into a path as they are; no server may take one for another path. */
function modelPath({
  model,
  version,
}: {
  readonly model: string
  readonly version?: string | undefined
}): string {
  const behind = version === undefined || version === '' ? '' : `/versions/${encodeURIComponent(version)}`
  const path = `/v2/models/${encodeURIComponent(model)}${behind}`
  if (model === '') throw new Untranslatable('INVALID_ARGUMENT', 'the message names no model')
  if (ambiguity(`${path}/`) !== undefined)
    throw new Untranslatable('INVALID_ARGUMENT', 'the name of the model cannot stand in a path')
  return path
}

/** Without the fields that belong to one of the two transports. */
function withoutTransport(headers: RawPairs): string[] {
  return withoutOwnFields(headers).filter((_, i, fields) => !OF_TRANSPORT.test(fields[i & ~1] as string))
}

const OF_TRANSPORT = /^(?:te|accept|accept-encoding|grpc-.*)$/i

/** Questions about a server or a model: the method, the end of the path, and the fields of the answer. */
const QUESTIONS: readonly (readonly [method: string, path: string, fields: AnswerFields])[] = [
  ['ServerLive', '/v2/health/live', LIVE],
  ['ServerReady', '/v2/health/ready', READY],
  ['ServerMetadata', '/v2', SERVER],
  ['ModelReady', '/ready', READY],
  ['ModelMetadata', '', MODEL],
]

function aboutToRest(call: Asking, body: Uint8Array): Translation {
  const [method, path, fields] = QUESTIONS.find(([name]) => call.path === SERVICE + name) ?? []
  if (method === undefined || path === undefined || !fields)
    throw new Untranslatable(
      'UNIMPLEMENTED',
      'no server of this model speaks gRPC, and this call has no other form',
    )
  const of = method.startsWith('Model') ? modelPath(namedModel(body) ?? { model: '' }) : ''
  return {
    method: 'GET',
    path: of + path,
    headers: withoutTransport,
    body: NOTHING,
    answer: (reply) => messageReply(reply, fields),
  }
}

const NOTHING = new Uint8Array(0)

/** A server that is not live or not ready says so by an error. */
const NOT_READY = new Set([400, 503])

function messageReply(reply: Reply, fields: AnswerFields): Reply {
  const isFlag = fields === LIVE || fields === READY
  if (isFlag && NOT_READY.has(reply.status)) return framedReply(new MessageWriter())
  if (reply.status !== 200) return translatedError(reply)
  // Triton's answer about health has no body.
  const told = { live: true, ready: true, ...jsonOf(reply) }
  return framedReply(messageOfJson(told, fields))
}

function jsonOf({ body }: Reply): object {
  try {
    const value: unknown = JSON.parse(Buffer.from(body as Uint8Array).toString('utf8'))
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}

function framedReply(message: MessageWriter): Reply {
  const body = withPrefix(message.join(PREFIX_BYTES))
  return { status: 200, headers: ['content-type', GRPC_TYPE], body, trailers: () => OK_TRAILERS }
}

function toGrpc(call: Asking, body: Uint8Array, address: Address): Translation {
  const { model, version, prediction } = call.target ?? {}
  const of = model === undefined ? undefined : { model, ...(version === undefined ? {} : { version }) }
  if (!prediction || !of) return aboutToGrpc(call, of)
  return asMessage(INFER_PATH, grpcMessage(body, call.headers, of), (reply) => answered(call, reply, address))
}

function asMessage(path: string, message: MessageWriter, answer: Translation['answer']): Translation {
  const own = ['content-type', GRPC_TYPE, 'te', 'trailers']
  return {
    method: 'POST',
    path,
    headers: (outgoing) => [...own, ...withoutTransport(outgoing)],
    body: withPrefix(message.join(PREFIX_BYTES)),
    answer,
  }
}

function aboutToGrpc(call: Asking, of: NamedModel | undefined): Translation {
  const verb = call.target?.verb
  // The end of a model's path is its verb, but for its metadata.
  const end = of ? (verb === 'metadata' ? '' : `/${verb}`) : call.path
  const question = QUESTIONS.find(([name, path]) => path === end && name.startsWith(of ? 'Model' : 'Server'))
  if (!question || call.method !== 'GET')
    throw new Untranslatable(
      'UNIMPLEMENTED',
      'no server of this model speaks HTTP, and this call has no form in gRPC',
    )
  const [method, , fields] = question
  const message = new MessageWriter()
  if (of) message.text(1, of.model)
  if (of?.version !== undefined) message.text(2, of.version)
  return asMessage(SERVICE + method, message, (reply) => jsonAnswer(call, reply, fields))
}

function jsonAnswer(call: Asking, reply: Reply, fields: AnswerFields): Reply {
  if (statusOf(reply) !== 'OK') return translatedError(reply)
  return orRefusal(call, () => {
    const message = onlyMessage(reply.body as Uint8Array, undefined, 0)
    if ('bypass' in message)
      throw new Untranslatable('INTERNAL', 'the answer of the server is not one message')
    const told = jsonOfMessage(new MessageReader(message), fields)
    const isNot = told['live'] === false || told['ready'] === false
    return jsonReply(isNot ? 503 : 200, Buffer.from(JSON.stringify(told)))
  })
}
