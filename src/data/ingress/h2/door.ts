/** The HTTP/2 door: takes connections that begin with HTTP/2's preface, or have chosen `h2` in their TLS handshake. */
import type { Duplex } from 'node:stream'
import { WriteBatcher } from '../../../lib/write-batcher.ts'
import type { DoorConnection } from '../door/context.ts'
import { knownUnder } from '../door/known-requests.ts'
import { Http2Connection } from './connection.ts'
import type { Http2DoorContext } from './context.ts'

export type Http2DoorOptions = Omit<Http2DoorContext, 'connections' | 'known' | 'writeBatcher'>

export interface Http2Door {
  /** The socket's first bytes are in its buffer; it is paused, or not yet flowing. */
  take(socket: Duplex): void
  /** Asks all clients for no more requests, and closes their connections behind the answers. */
  drain(): void
  /** Destroys the remaining connections. */
  cut(): void
}

export function createHttp2Door(options: Http2DoorOptions): Http2Door {
  const connections = new Set<DoorConnection>()
  const known = knownUnder(options.live, options.limits.maxHeadBytes)
  const context = { ...options, known, writeBatcher: new WriteBatcher(), connections }
  let isDraining = false
  return {
    take(socket) {
      const connection = new Http2Connection(socket, context)
      // One that was accepted before the drain, and has only now shown what it speaks.
      if (isDraining) connection.retire()
      socket.resume()
    },
    drain() {
      isDraining = true
      for (const connection of connections) connection.retire()
    },
    cut() {
      for (const connection of connections) connection.cut()
    },
  }
}
