/** Asks a server what the model's inputs are, and so whether it is there at all, before any load is made. */
import type { RawPairs } from '../core/call.ts'
import { GatewayError } from '../core/errors.ts'
import { Clients } from '../data/backend/clients.ts'
import { collected } from '../data/backend/incoming.ts'
import { Cancel } from '../lib/cancel.ts'
import { systemClock } from '../lib/clock.ts'
import type { ClientTls } from '../lib/tls/material.ts'
import { timer, Wheel } from '../lib/wheel.ts'
import { onlyMessage, PREFIX_BYTES, withPrefix } from '../protocol/grpc/message.ts'
import { MalformedProtobuf } from '../protocol/protobuf/reader.ts'
import type { LoadProtocol } from './dialects/dialect.ts'
import * as metadata from './dialects/metadata.ts'

export interface DescribeOptions {
  readonly url: string
  readonly protocol: LoadProtocol
  readonly model: string
  readonly headers: RawPairs
  readonly isHttp2: boolean
  readonly tls: ClientTls | undefined
  /** For the whole answer. */
  readonly timeoutMs?: number
}

/** The server cannot be reached. */
export class UnreachableError extends Error {}

const TIMEOUT_MS = 5000
const MAX_BYTES = 4 * 1024 * 1024
const LATE = new GatewayError('backendTimeout', 'the server did not end its answer in time')

interface Ask {
  readonly method: string
  readonly target: string
  readonly body?: Uint8Array
  readonly read: (body: Uint8Array) => metadata.DescribedInput[] | undefined
}

/** The inputs as the server describes them; undefined: it does not. Throws UnreachableError. */
export async function describeInputs(
  options: DescribeOptions,
): Promise<metadata.DescribedInput[] | undefined> {
  const ask = askOf(options)
  return answerOf(options, ask, ask.read)
}

/** The first model of `GET /v1/models`; undefined: none is named. Throws UnreachableError. */
export async function firstModel(options: Omit<DescribeOptions, 'model'>): Promise<string | undefined> {
  const ask = { method: 'GET', target: '/v1/models' }
  return answerOf(options, ask, (body) => {
    const list = json(body) as { readonly data?: readonly { readonly id?: unknown }[] }
    const id = list.data?.[0]?.id
    return typeof id === 'string' ? id : undefined
  })
}

async function answerOf<T>(
  { url, headers, protocol, isHttp2, tls, timeoutMs = TIMEOUT_MS }: Omit<DescribeOptions, 'model'>,
  { method, target, body }: Omit<Ask, 'read'>,
  read: (body: Uint8Array) => T | undefined,
): Promise<T | undefined> {
  const wheel = new Wheel(systemClock)
  const options = { connections: 1, connectTimeoutMs: timeoutMs, bodyTimeoutMs: timeoutMs, tls }
  const clients = new Clients({ ...options, refuse: () => undefined }, wheel)
  const isGrpc = protocol.endsWith('-grpc')
  const signal = new Cancel()
  // The client bounds silences; an answer that trickles has none.
  wheel.arm(
    timer(() => signal.abort(LATE)),
    timeoutMs,
  )
  try {
    const { reply } = await clients.send({
      url,
      transport: isHttp2 || isGrpc ? 'grpc' : 'http',
      method,
      target,
      headers: isGrpc ? ['content-type', 'application/grpc', ...headers] : headers,
      body,
      contentLength: undefined,
      signal,
      headTimeoutMs: timeoutMs,
    })
    const { complete, bytes } = await collected(reply.body, MAX_BYTES)
    if (!complete || reply.status !== 200) return undefined
    return read(bytes)
  } catch (error) {
    if (error instanceof GatewayError) throw new UnreachableError(error.logged, { cause: error })
    // Somebody else's answer, or one with nothing in it.
    if (error instanceof MalformedProtobuf || error instanceof SyntaxError) return undefined
    throw error
  } finally {
    // Of an answer that is too long the rest is still coming.
    signal.abort(LATE)
    await clients.close()
    wheel.close()
  }
}

function askOf({ protocol, model }: DescribeOptions): Ask {
  const name = encodeURIComponent(model)
  const get = { method: 'GET' }
  switch (protocol) {
    case 'tfserving':
      return {
        ...get,
        target: `/v1/models/${name}/metadata`,
        read: (body) => metadata.readV1Metadata(json(body)),
      }
    case 'oip':
    case 'oip-binary':
      return { ...get, target: `/v2/models/${name}`, read: (body) => metadata.readV2Metadata(json(body)) }
    case 'oip-grpc':
      return {
        method: 'POST',
        target: '/inference.GRPCInferenceService/ModelMetadata',
        body: withPrefix(metadata.askV2(model).join(PREFIX_BYTES)),
        read: (body) => unframed(body, metadata.readV2Message),
      }
    case 'tfserving-grpc':
      return {
        method: 'POST',
        target: '/tensorflow.serving.PredictionService/GetModelMetadata',
        body: withPrefix(metadata.askV1(model).join(PREFIX_BYTES)),
        read: (body) => unframed(body, metadata.readV1Message),
      }
    case 'openai':
      return { ...get, target: '/v1/models', read: () => undefined }
  }
}

const json = (body: Uint8Array): unknown => JSON.parse(Buffer.from(body).toString('utf8'))

function unframed<T>(body: Uint8Array, read: (message: Uint8Array) => T | undefined): T | undefined {
  const message = onlyMessage(body, undefined, MAX_BYTES)
  return message instanceof Uint8Array ? read(message) : undefined
}
