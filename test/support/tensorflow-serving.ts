/** TensorFlow Serving's messages by protobufjs, which is not what the gateway reads and writes them with. */
import { readFileSync } from 'node:fs'
import protobuf from 'protobufjs'
import type { Call, RawPairs } from '../../src/core/call.ts'
import type { Reply } from '../../src/core/reply.ts'
import { PREFIX_BYTES, withPrefix } from '../../src/protocol/grpc/message.ts'
import type { Plan } from '../../src/protocol/protocol.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { callOf, SEED } from '../../src/testing/protocol-call.ts'

const source = readFileSync(new URL('tensorflow-serving.proto', import.meta.url), 'utf8')
const { root } = protobuf.parse(source, { keepCase: true })

export type Message = Readonly<Record<string, unknown>>

export const typeOf = (name: string): protobuf.Type => root.lookupType(`tensorflow.serving.${name}`)

export function encode(name: string, message: Message): Buffer {
  const type = typeOf(name)
  return Buffer.from(type.encode(type.fromObject(message as Record<string, unknown>)).finish())
}

/** As plain objects: numbers of 64 bits as text, bytes in hexadecimal. */
export function decode(name: string, bytes: Uint8Array): Message {
  const type = typeOf(name)
  const message = type.toObject(type.decode(bytes), { longs: String, defaults: false })
  return plain(message) as Message
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]))
}

export function framed(message: Uint8Array): Buffer {
  return withPrefix(Buffer.concat([Buffer.alloc(PREFIX_BYTES), message]))
}

export function unframed(body: unknown): Buffer {
  if (!(body instanceof Uint8Array)) throw new Error('no bytes')
  return Buffer.from(body.subarray(PREFIX_BYTES))
}

export type Method = 'Predict' | 'Classify' | 'Regress' | 'MultiInference'

/** The call of a method with this message, its model read out of the body as the gateway does. */
export function grpcCall(
  method: Method,
  message: Uint8Array,
  headers: RawPairs = [],
): Call & { body: Buffer } {
  const path = `/tensorflow.serving.PredictionService/${method}`
  const body = framed(message)
  const target = tfserving.match('POST', path)
  if (!target) throw new Error(`${path} is not known`)
  const call = callOf(body, {
    path,
    headers: ['content-type', 'application/grpc', ...headers],
    target: { ...target, ...tfserving.model?.(body) },
  })
  return { ...call, body }
}

export function readGrpc(method: Method, message: Uint8Array, split = true) {
  const call = grpcCall(method, message)
  return tfserving.read(call, call.body, { seed: SEED, split })
}

/** The plan of a message that must be cacheable. */
export function grpcPlan(method: Method, message: Uint8Array): Plan {
  const reading = readGrpc(method, message)
  if ('bypass' in reading)
    throw new Error(`bypassed: ${reading.bypass} ${Buffer.from(message).toString('hex')}`)
  return reading
}

export function grpcReply(message: Uint8Array, status = '0'): Reply & { body: Buffer } {
  return {
    status: 200,
    headers: ['content-type', 'application/grpc'],
    body: framed(message),
    trailers: () => ['grpc-status', status],
  }
}
