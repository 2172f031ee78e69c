/** A server over gRPC that plays back what a real one said, message and trailers byte for byte, and keeps what it was sent. */
import type { ServerHttp2Stream } from 'node:http2'
import { decodeBytes, type WireCall } from '../../interop/suite/wire.ts'
import { bodyOf, http2Backend } from './http2-backend.ts'

export interface SentCall {
  readonly path: string
  readonly body: Buffer
}

export interface CallPlayback {
  readonly url: string
  /** From now on calls of its path by its client are answered as this one was; all others, the gateway's own, are UNIMPLEMENTED. */
  play(call: WireCall): void
  /** What was answered so since then, oldest first. */
  readonly played: readonly SentCall[]
  close(): void
}

const UNIMPLEMENTED = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' }

export async function startCallPlayback(): Promise<CallPlayback> {
  let played: SentCall[] = []
  let playing: WireCall | undefined
  const backend = await http2Backend(async ({ stream, headers }) => {
    const path = headers[':path'] ?? ''
    const body = await bodyOf(stream)
    // The gateway asks for metadata and states by itself, without the client's name.
    const isPlayed = playing?.path === path && playing.fields['user-agent'] === headers['user-agent']
    if (!playing || !isPlayed) return stream.respond(UNIMPLEMENTED, { endStream: true })
    played.push({ path, body })
    answer(stream, playing)
  })
  return {
    url: backend.url,
    play(call) {
      playing = call
      played = []
    },
    get played() {
      return played
    },
    close: () => backend.close(),
  }
}

function answer(stream: ServerHttp2Stream, { received: { fields, body, trailers } }: WireCall): void {
  const head = { ':status': 200, ...fields }
  if (Object.keys(trailers).length === 0) return stream.respond(head, { endStream: true })
  stream.respond(head, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  stream.end(decodeBytes(body))
}
