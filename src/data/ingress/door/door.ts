/**
 * The strict fast door in front of node:http. It takes the connections of an http.Server, answers those whose
 * requests are plain, and gives every other one back to the server with its bytes unread. So it never widens what
 * is accepted: whatever it answers, node:http would have read the same way.
 */
import type { Server } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Wheel } from '../../../lib/wheel.ts'
import { WriteBatcher } from '../../../lib/write-batcher.ts'
import type { Ingress } from '../ingress.ts'
import { Connection } from './connection.ts'
import type { DoorContext, DoorLimits } from './context.ts'
import { KnownRequests } from './known-requests.ts'

export interface DoorOptions extends Ingress {
  /** Listens, limits the connections, and serves whatever is not plain. */
  readonly server: Server
  /** Of the server, by which a connection is given to it: `secureConnection` where it speaks TLS. */
  readonly event?: 'connection' | 'secureConnection'
  readonly limits: DoorLimits
  readonly wheel: Wheel
  /** Told of each connection that node:http is given, with the milliseconds in which its next head must have come. */
  readonly handedOver?: (socket: Duplex, headMs: number) => void
}

export interface Door {
  /** Connections that have sent nothing but plain requests so far. */
  readonly connections: number
  /** A connection from elsewhere; any duplex stream will do. */
  take(socket: Duplex): void
  /** From now on each answer is the last one on its connection, once all that was read of it is answered. */
  leave(): void
  /** Any answer is the last one from now on; idle connections end. */
  drain(): void
  /** Ends what is left. */
  cut(): void
}

export function createDoor({
  server,
  event = 'connection',
  handedOver = () => {},
  ...options
}: DoorOptions): Door {
  const inner = server.listeners(event)
  const context: DoorContext = {
    ...options,
    handOver: (socket, headMs) => {
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

/** Other settings may go by other fields, so under them nothing is known. */
function knownUnder(live: Ingress['live'], maxHeadBytes: number): () => KnownRequests {
  let known = new KnownRequests(live(), maxHeadBytes)
  return () => {
    const now = live()
    if (known.live !== now) known = new KnownRequests(now, maxHeadBytes)
    return known
  }
}
