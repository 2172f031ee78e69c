/**
 * The strict fast door in front of node:http. It takes over the connections of an http.Server, serves those whose requests are
 * plain, and hands every other connection back to the server with its bytes unread. So the gateway accepts no more
 * than node:http does: each plain request has the same meaning to both parsers.
 */
import type { Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { Generations } from '../../../lib/generations.ts'
import type { Wheel } from '../../../lib/wheel.ts'
import { WriteBatcher } from '../../../lib/write-batcher.ts'
import type { AuthLive, Client } from '../../auth/authenticator.ts'
import type { Ingress } from '../ingress.ts'
import { Connection } from './connection.ts'
import type { DoorContext, DoorLimits } from './context.ts'
import { KnownRequests } from './known-requests.ts'

export interface DoorOptions extends Ingress {
  /** The server that listens, limits the connections, and serves what is not plain. */
  readonly server: Server
  /** The server's event for a new connection: `secureConnection` with TLS. */
  readonly event?: 'connection' | 'secureConnection'
  readonly limits: DoorLimits
  readonly wheel: Wheel
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

/** Kinds of clients that are remembered, twice as many at most: those with client certificates of their own. */
const MAX_KINDS = 64

/**
 * Starts anew at each change of the settings, since new routes may depend on other fields. Equal heads of clients that
 * prove something by their connection mean different things, so each kind of client has its own.
 */
function knownUnder(live: Ingress['live'], maxHeadBytes: number): (client: Client) => KnownRequests {
  let known = new KnownRequests(live(), maxHeadBytes)
  let ofKinds = new Generations<KnownRequests>(MAX_KINDS)
  let ofClients = new WeakMap<Client, KnownRequests>()
  return (client) => {
    const now = live()
    if (known.live !== now) {
      known = new KnownRequests(now, maxHeadBytes)
      ofKinds = new Generations(MAX_KINDS)
      ofClients = new WeakMap()
    }
    if (!now.auth?.asksClients) return known
    const ofClient = ofClients.get(client) ?? ofKind(now.auth.kindOf(client), now)
    ofClients.set(client, ofClient)
    return ofClient
  }

  function ofKind(kind: string, now: AuthLive): KnownRequests {
    if (kind === '') return known
    const found = ofKinds.get(kind) ?? new KnownRequests(now, maxHeadBytes)
    ofKinds.set(kind, found)
    return found
  }
}
