/** The HTTP/2 door: takes connections that begin with HTTP/2's preface, or have chosen `h2` in their TLS handshake. */
import type { ServerSessionOptions } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { DoorLimits } from '../door/context.ts'
import { knownUnder } from '../door/known-requests.ts'
import { Http2Connection } from './connection.ts'
import type { Http2DoorConnection, Http2DoorContext } from './context.ts'

/** Streams that a client may have open at a time. */
const MAX_STREAMS = 256
/** Bytes that may be on their way to a stream that is not read. */
const STREAM_WINDOW = 256 * 1024
/**
 * Streams that a client may reset, a second and at once, before its connection is ended: more than those who change their mind
 * do (CVE-2023-44487, "rapid reset").
 */
const RESETS = { streamResetRate: 100, streamResetBurst: 1000 }
/** Fields of a head. */
const MAX_FIELDS = 256

export type Http2DoorOptions = Omit<Http2DoorContext, 'options' | 'connections' | 'known'>

export interface Http2Door {
  take(socket: Duplex): void
  /** Asks all clients for no more requests, and closes their connections behind the answers. */
  drain(): void
  /** Destroys the remaining connections. */
  cut(): void
}

export function createHttp2Door(options: Http2DoorOptions): Http2Door {
  const { live, limits } = options
  const connections = new Set<Http2DoorConnection>()
  const context: Http2DoorContext = {
    ...options,
    options: sessionOptions(limits),
    known: knownUnder(live, limits.maxHeadBytes),
    connections,
  }
  return {
    take(socket) {
      new Http2Connection(socket, context)
    },
    drain() {
      for (const connection of connections) connection.retire()
    },
    cut() {
      for (const connection of connections) connection.cut()
    },
  }
}

function sessionOptions({ maxHeadBytes }: DoorLimits): ServerSessionOptions {
  return {
    ...RESETS,
    maxHeaderListPairs: MAX_FIELDS,
    settings: {
      maxConcurrentStreams: MAX_STREAMS,
      initialWindowSize: STREAM_WINDOW,
      maxHeaderListSize: maxHeadBytes,
    },
  }
}
