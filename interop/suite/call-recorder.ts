/** A proxy of HTTP/2 that keeps the gRPC calls that pass: fields, bytes and trailers, as they are. */
import { once } from 'node:events'
import http2, { type ClientHttp2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type net from 'node:net'

export interface RecordedCall {
  readonly path: string
  readonly fields: Readonly<Record<string, string>>
  readonly sent: Buffer
  readonly received: {
    readonly fields: Readonly<Record<string, string>>
    readonly body: Buffer
    /** Empty where the answer is one head, with the status in its fields. */
    readonly trailers: Readonly<Record<string, string>>
  }
}

export interface CallRecorder {
  readonly url: string
  /** Calls that have ended, in that order. */
  readonly calls: readonly RecordedCall[]
  stop(): Promise<void>
}

/** Stands in front of `upstream`, an `http://` address. */
export async function startCallRecorder(upstream: string): Promise<CallRecorder> {
  const calls: RecordedCall[] = []
  const far = http2.connect(upstream)
  far.on('error', () => far.destroy())
  const sessions = new Set<http2.Http2Session>()
  const server = http2.createServer()
  server.on('session', (session) => sessions.add(session.on('error', () => session.destroy())))
  server.on('stream', (near, head) =>
    pass({ near: near as ServerHttp2Stream, head, far, ended: (call) => calls.push(call) }),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    calls,
    async stop() {
      far.destroy()
      for (const session of sessions) session.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Passing {
  readonly near: ServerHttp2Stream
  readonly head: IncomingHttpHeaders
  readonly far: ClientHttp2Session
  ended(call: RecordedCall): void
}

function pass({ near, head, far, ended }: Passing): void {
  const path = head[':path'] ?? ''
  const fields = plain(head)
  const sent: Buffer[] = []
  const body: Buffer[] = []
  let answer: Readonly<Record<string, string>> = {}
  let trailers: Readonly<Record<string, string>> = {}
  const upstream = far.request({ ':method': 'POST', ':path': path, ...fields })
  near.on('data', (bytes: Buffer) => {
    sent.push(bytes)
    upstream.write(bytes)
  })
  near.on('end', () => upstream.end())
  near.on('error', () => upstream.destroy())
  upstream.on('error', () => near.destroy())
  upstream.on('response', (given, flags) => {
    answer = plain(given)
    const isWhole = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0
    near.respond(
      { ':status': given[':status'] ?? 200, ...answer },
      isWhole ? { endStream: true } : { waitForTrailers: true },
    )
  })
  upstream.on('data', (bytes: Buffer) => {
    body.push(bytes)
    near.write(bytes)
  })
  upstream.on('trailers', (given: IncomingHttpHeaders) => (trailers = plain(given)))
  near.on('wantTrailers', () => near.sendTrailers(trailers))
  upstream.on('close', () => {
    near.end()
    const received = { fields: answer, body: Buffer.concat(body), trailers }
    ended({ path, fields, sent: Buffer.concat(sent), received })
  })
}

/** Without the fields that are HTTP/2's own. */
const plain = (head: IncomingHttpHeaders): Record<string, string> =>
  Object.fromEntries(
    Object.entries(head).flatMap(([name, value]) =>
      name.startsWith(':') || value === undefined ? [] : [[name, [value].flat().join(', ')]],
    ),
  )
