/** Messages of the Open Inference Protocol over gRPC, written and read by a library that knows nothing of the code under test. */
import { readFileSync } from 'node:fs'
import protobuf from 'protobufjs'
import type { RawPairs } from '../../src/core/call.ts'
import type { Reply } from '../../src/core/reply.ts'
import type { CallParts } from '../../src/testing/protocol-call.ts'

const { root } = protobuf.parse(readFileSync(new URL('oip.proto', import.meta.url), 'utf8'), {
  keepCase: true,
})

export type MessageName =
  | 'ModelInferRequest'
  | 'ModelInferResponse'
  | 'ModelMetadataRequest'
  | 'ModelMetadataResponse'
  | 'ServerLiveResponse'
  | 'ModelReadyResponse'
  | 'ServerMetadataResponse'
  | 'RepositoryIndexRequest'
  | 'RepositoryIndexResponse'
  | 'HealthCheckRequest'
  | 'HealthCheckResponse'

/** 64-bit numbers are strings. */
export type Message = Record<string, unknown>

export function encoded(name: MessageName, message: Message): Buffer {
  const type = root.lookupType(`inference.${name}`)
  return Buffer.from(type.encode(type.fromObject(message)).finish())
}

/** Throws where the bytes are no such message. */
export function decoded(name: MessageName, bytes: Uint8Array): Message {
  const type = root.lookupType(`inference.${name}`)
  return type.toObject(type.decode(bytes), {
    longs: String,
    defaults: true,
    arrays: true,
    objects: true,
    oneofs: true,
  })
}

/** A message as the body of a call: uncompressed, behind its length. */
export function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

export function unframed(body: Uint8Array): Buffer {
  const bytes = Buffer.from(body)
  if (bytes[0] !== 0 || bytes.readUInt32BE(1) !== bytes.length - 5)
    throw new Error('not one uncompressed message')
  return bytes.subarray(5)
}

const PATH = '/inference.GRPCInferenceService/ModelInfer'
export const INFER_CALL: CallParts = {
  path: PATH,
  headers: ['content-type', 'application/grpc', 'te', 'trailers'],
}

export function inferBody(message: Message): Buffer {
  return framed(encoded('ModelInferRequest', message))
}

/** A good answer, as a server gives it. */
export function inferReply(message: Message, fields: RawPairs = []): Reply & { body: Uint8Array } {
  return messageReply(encoded('ModelInferResponse', message), fields)
}

export function messageReply(message: Uint8Array, fields: RawPairs = []): Reply & { body: Uint8Array } {
  return {
    status: 200,
    headers: ['content-type', 'application/grpc', ...fields],
    body: framed(message),
    trailers: () => ['grpc-status', '0'],
  }
}

/** The answer in a reply. */
export function answerOf(reply: Reply | undefined): Message {
  if (!(reply?.body instanceof Uint8Array)) throw new Error('no reply with bytes')
  return decoded('ModelInferResponse', unframed(reply.body))
}
