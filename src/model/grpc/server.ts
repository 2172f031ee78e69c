/**
 * The gRPC side of the model server: unary calls over HTTP/2, by node:http2 on connections that were accepted elsewhere. A call
 * has a deadline (`grpc-timeout`) and a bound (64 MiB) as over HTTP; one whose caller cancels gives up its place in the queue.
 */
import type {
  Http2Server,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import { BufferList } from '../../lib/buffer-list.ts'
import { GRPC_TYPE, isGrpc } from '../../protocol/grpc/fields.ts'
import { onlyMessage, PREFIX_BYTES, withPrefix } from '../../protocol/grpc/message.ts'
import { encodeMessage, statusCode, statusOfHttp } from '../../protocol/grpc/status.ts'
import { readGrpcTimeout } from '../../protocol/grpc/timeout.ts'
import { MalformedProtobuf } from '../../protocol/protobuf/reader.ts'
import { ModelError } from '../error.ts'
import { KEEP_ALIVE_MS, MAX_BODY_BYTES, REQUEST_TIMEOUT_MS } from '../limits.ts'
import { createMethods, type MethodOptions, type UnaryMethod } from './methods.ts'

/** As many as gateways have calls on one connection; further ones wait at the sender, or take another connection. */
const MAX_STREAMS = 128
/** What may be on its way of one call, and of all calls of a connection, before they are asked to wait. */
const STREAM_WINDOW_BYTES = 1 << 20
const CONNECTION_WINDOW_BYTES = 4 << 20
/** Timers cannot be set for longer. */
const MAX_TIMER_MS = 2 ** 31 - 1
/** Answers to a 503, in milliseconds: as `retry-after: 1` over HTTP. */
const PUSHBACK_MS = '1000'

export interface GrpcServerOptions extends MethodOptions {
  /** Called with internal errors, which the caller sees only as INTERNAL. */
  readonly onFault: (error: unknown) => void
}

export class GrpcServer {
  readonly #options: GrpcServerOptions
  readonly #methods: ReadonlyMap<string, UnaryMethod>
  readonly #sessions = new Set<ServerHttp2Session>()
  #server: Http2Server | undefined

  constructor(options: GrpcServerOptions) {
    this.#options = options
    this.#methods = createMethods(options)
  }

  /** Serves a connection that begins with the preface of HTTP/2. */
  accept(socket: Socket): void {
    this.#server ??= this.#create()
    this.#server.emit('connection', socket)
  }

  /** Asks clients to go elsewhere; running calls are answered. */
  close(): void {
    for (const session of this.#sessions) session.close()
  }

  destroy(): void {
    for (const session of this.#sessions) session.destroy()
  }

  /** Only when the first connection comes, since many servers see none: node:http2 takes a while to load. */
  #create(): Http2Server {
    const server = process.getBuiltinModule('node:http2').createServer({
      settings: { maxConcurrentStreams: MAX_STREAMS, initialWindowSize: STREAM_WINDOW_BYTES },
    })
    server.on('session', (session) => {
      this.#sessions.add(session)
      session.setLocalWindowSize(CONNECTION_WINDOW_BYTES)
      session.setTimeout(KEEP_ALIVE_MS, () => session.close())
      // A broken connection is its client's loss.
      session.on('error', () => undefined).on('close', () => this.#sessions.delete(session))
    })
    server.on('stream', (stream: ServerHttp2Stream, headers) => void this.#answer(stream, headers))
    return server
  }

  async #answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const { meter } = this.#options
    meter.open()
    const cancel = new AbortController()
    const late = (): void => cancel.abort(new ModelError(504, 'the deadline of the call has passed'))
    const arrival = setTimeout(late, REQUEST_TIMEOUT_MS)
    const timeoutMs = readGrpcTimeout(textOf(headers['grpc-timeout']) ?? '')
    const deadline = timeoutMs === undefined ? undefined : setTimeout(late, Math.min(timeoutMs, MAX_TIMER_MS))
    // An error of a stream ends it, and is followed by `close`.
    stream.on('error', () => undefined)
    stream.once('close', () => {
      clearTimeout(arrival)
      clearTimeout(deadline)
      meter.close()
      cancel.abort(new ModelError(499, 'the caller has left'))
    })
    cancel.signal.addEventListener('abort', () => this.#fail(stream, cancel.signal.reason), { once: true })
    try {
      const call = this.#methodOf(headers)
      const body = await readBody(stream)
      clearTimeout(arrival)
      const message = messageOf(body, textOf(headers['grpc-encoding']))
      respond(stream, (await call(message, cancel.signal)).join(PREFIX_BYTES))
    } catch (error) {
      this.#fail(stream, error)
    }
  }

  #methodOf(headers: IncomingHttpHeaders): UnaryMethod {
    const path = textOf(headers[':path']) ?? ''
    if (headers[':method'] !== 'POST' || !isGrpc(['content-type', headers['content-type'] ?? '']))
      throw new NoGrpc('over HTTP/2 this server takes gRPC only')
    const method = this.#methods.get(path)
    if (!method)
      throw new ModelError(501, `${path} is not served: ask ${[...this.#methods.keys()].join(', ')}`)
    return method
  }

  #fail(stream: ServerHttp2Stream, error: unknown): void {
    if (stream.headersSent || stream.destroyed || stream.closed) return
    if (error instanceof NoGrpc) {
      stream.respond({ ':status': 415, 'content-type': 'text/plain' })
      stream.end(error.message, () => stream.close())
      return
    }
    const { status, message } = this.#told(error)
    const fields: OutgoingHttpHeaders = {
      ':status': 200,
      'content-type': GRPC_TYPE,
      'grpc-status': String(statusCode(statusOfHttp(status))),
      'grpc-message': encodeMessage(message),
      'grpc-accept-encoding': ENCODINGS,
    }
    if (status === 503) fields['grpc-retry-pushback-ms'] = PUSHBACK_MS
    stream.respond(fields, { endStream: true })
    // The rest of an unread body is not worth receiving. In this turn a reset would overtake the head.
    if (!stream.readableEnded) setImmediate(() => stream.close())
  }

  #told(error: unknown): Pick<ModelError, 'status' | 'message'> {
    if (error instanceof ModelError) return error
    if (error instanceof MalformedProtobuf) return { status: 400, message: error.message }
    this.#options.onFault(error)
    return { status: 500, message: 'the model server failed; its log says why' }
  }
}

const ENCODINGS = 'identity, deflate, gzip'

/** The request is none of gRPC, so neither is the answer. */
class NoGrpc extends Error {}

function textOf(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.join()
}

const TOO_LARGE = `the message is larger than ${MAX_BODY_BYTES} bytes: send fewer rows`

async function readBody(stream: ServerHttp2Stream): Promise<Buffer> {
  const list = new BufferList()
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    list.push(chunk)
    if (list.length > MAX_BODY_BYTES + PREFIX_BYTES) throw new ModelError(413, TOO_LARGE)
  }
  return list.joined()
}

function messageOf(body: Buffer, encoding: string | undefined): Uint8Array {
  const message = onlyMessage(body, encoding, MAX_BODY_BYTES)
  if (message instanceof Uint8Array) return message
  switch (message.bypass) {
    case 'grpc-encoding':
      throw new ModelError(
        501,
        `grpc-encoding ${encoding ?? 'identity'} is not read: use one of ${ENCODINGS}`,
      )
    case 'grpc-compression':
      throw new ModelError(400, `the message is not ${encoding}, or takes more than ${MAX_BODY_BYTES} bytes`)
    default:
      throw new ModelError(400, 'the body is not exactly one gRPC message')
  }
}

function respond(stream: ServerHttp2Stream, framed: Buffer): void {
  if (stream.headersSent || stream.destroyed || stream.closed) return
  stream.respond(
    { ':status': 200, 'content-type': GRPC_TYPE, 'grpc-accept-encoding': ENCODINGS },
    { waitForTrailers: true },
  )
  stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.end(withPrefix(framed))
}
