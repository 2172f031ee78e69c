/**
 * The strict fast door in front of node:http. It takes over the connections of an http.Server, serves those whose requests are
 * plain, and hands every other connection back to the server with its bytes unread. So the gateway accepts no more
 * than node:http does: each plain request has the same meaning to both parsers.
 */
import type { Server } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Wheel } from '../../../lib/wheel.ts'
import { WriteBatcher } from '../../../lib/write-batcher.ts'
import type { Http2Door } from '../h2/door.ts'
import { beginsPreface, isForeign } from '../h2/preface.ts'
import type { Ingress } from '../ingress.ts'
import { Connection } from './connection.ts'
import type { DoorContext, DoorLimits } from './context.ts'
import { knownUnder } from './known-requests.ts'

export interface DoorOptions extends Ingress {
  /** The server that listens, limits the connections, and serves what is not plain. */
  readonly server: Server
  /** The server's event for a new connection: `secureConnection` with TLS. */
  readonly event?: 'connection' | 'secureConnection'
  readonly limits: DoorLimits
  readonly wheel: Wheel
  /** Takes the connections that begin with HTTP/2's preface. */
  readonly http2: Pick<Http2Door, 'take'>
  /** Called for each connection that is closed because it begins in another protocol. */
  readonly foreign: () => void
  /** Called for each connection that is handed over, with the milliseconds within which its head must be complete. */
  readonly handedOver?: (socket: Duplex, headMs: number) => void
}

export interface Door {
  /** How many connections have sent only plain requests so far. */
  readonly connections: number
  /** Takes a connection that the server did not accept; any duplex stream will do. */
  take(socket: Duplex): void
  /** From now on an answer is the last one on its connection, unless a request behind it has been read. */
  leave(): void
  /** From now on any answer is the last one on its connection; idle connections are closed. */
  drain(): void
  /** Destroys the remaining connections. */
  cut(): void
}

export function createDoor({
  server,
  event = 'connection',
  handedOver = () => {},
  http2,
  foreign,
  ...options
}: DoorOptions): Door {
  const inner = server.listeners(event)
  const context: DoorContext = {
    ...options,
    handOver: (socket, bytes, { headMs, isNew }) => {
      if (beginsPreface(bytes)) return http2.take(socket)
      if (isNew && isForeign(bytes)) {
        foreign()
        return void socket.destroy()
      }
      for (const listener of inner) listener.call(server, socket)
      handedOver(socket, headMs)
    },
    known: knownUnder(options.live, options.limits.maxHeadBytes),
    writeBatcher: new WriteBatcher(),
    connections: new Set(),
    keepAlive: `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(options.limits.keepAliveTimeoutMs / 1000)}\r\n`,
    leaving: false,
    draining: false,
  }
  const take = (socket: Duplex) => void new Connection(socket, context)
  server.removeAllListeners(event)
  server.on(event, take)
  return {
    get connections() {
      return context.connections.size
    },
    take,
    leave() {
      context.leaving = true
    },
    drain() {
      context.leaving = true
      context.draining = true
      for (const connection of context.connections) connection.retire()
    },
    cut() {
      for (const connection of context.connections) connection.cut()
    },
  }
}
