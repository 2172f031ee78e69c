/** A server of HTTP/2 for tests of what is called over it: every stream is answered by a function. */
import { once } from 'node:events'
import http2, { type Http2Session, type ServerHttp2Stream } from 'node:http2'
import type net from 'node:net'

export interface Asked {
  readonly stream: ServerHttp2Stream
  readonly headers: http2.IncomingHttpHeaders
  /** Names and values, as they came. */
  readonly raw: readonly string[]
  /** Streams before this one, of all connections. */
  readonly count: number
}

export interface Http2Backend {
  readonly url: string
  readonly port: number
  /** Connections ever made. */
  readonly connections: number
  readonly sessions: Set<Http2Session>
  readonly streams: Asked[]
  /** Says goodbye, finishes what runs, and is gone. */
  drain(): Promise<void>
  close(): void
}

export interface Http2BackendOptions extends http2.SecureServerOptions {
  /** Speaks TLS, with these. */
  readonly tls?: { readonly key: string; readonly cert: string }
  readonly port?: number
}

export async function http2Backend(
  answer: (asked: Asked) => unknown,
  { tls, port = 0, ...options }: Http2BackendOptions = {},
): Promise<Http2Backend> {
  const server = tls ? http2.createSecureServer({ ...options, ...tls }) : http2.createServer(options)
  const sessions = new Set<Http2Session>()
  const streams: Asked[] = []
  let connections = 0
  server.on('session', (session) => {
    connections++
    sessions.add(session)
    session.on('error', () => {}).on('close', () => sessions.delete(session))
  })
  server.on('stream', (incoming, headers, _flags, raw) => {
    const stream = incoming as ServerHttp2Stream
    stream.on('error', () => {})
    const asked = { stream, headers, raw, count: streams.length }
    streams.push(asked)
    answer(asked)
  })
  server.on('sessionError', () => {})
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const { port: taken } = server.address() as net.AddressInfo
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${taken}`,
    port: taken,
    get connections() {
      return connections
    },
    sessions,
    streams,
    async drain() {
      const closed = once(server, 'close')
      server.close()
      for (const session of sessions) session.close()
      await closed
    },
    close() {
      for (const session of sessions) session.destroy()
      server.close()
    },
  }
}

/** Reads the request to its end. */
export async function bodyOf(stream: ServerHttp2Stream): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of stream) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}

/** Answers with fields, a body and trailers, as gRPC does. */
export function answerGrpc(
  stream: ServerHttp2Stream,
  body: string | Uint8Array,
  trailers: http2.OutgoingHttpHeaders = { 'grpc-status': '0' },
): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  stream.end(body)
}
