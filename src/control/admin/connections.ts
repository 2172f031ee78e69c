/**
 * Limits the connections of the admin listener by closing old ones. If new connections were refused instead, anybody
 * could lock out an orchestrator's probes with idle connections. A new connection is therefore accepted, and one that
 * has shown no token is closed: the one that has been idle for longest.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

interface AdminConnection {
  /** It has sent an authorized request to a route that is not open to everybody. */
  isAuthenticated: boolean
  /** Requests in progress. */
  running: number
}

export class Connections {
  /** Ordered by last activity, the longest idle one first. */
  readonly #connections = new Map<Socket, AdminConnection>()
  readonly #most: number

  constructor(server: Server, most: number) {
    this.#most = most
    server.on('connection', (socket: Socket) => this.#onConnection(socket))
    server.prependListener('request', (request, response) => this.#onRequest(request, response))
  }

  get size(): number {
    return this.#connections.size
  }

  /** Connections with a valid token are closed only where there are no others. */
  markAuthenticated(socket: Socket): void {
    const connection = this.#connections.get(socket)
    if (connection) connection.isAuthenticated = true
  }

  #onConnection(socket: Socket): void {
    this.#connections.set(socket, { isAuthenticated: false, running: 0 })
    socket.once('close', () => this.#connections.delete(socket))
    if (this.#connections.size > this.#most) this.#evictable(socket).destroy()
  }

  #onRequest({ socket }: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(socket)
    if (!connection) return
    this.#touch(socket, connection)
    connection.running++
    response.once('close', () => {
      connection.running--
      this.#touch(socket, connection)
    })
  }

  #touch(socket: Socket, connection: AdminConnection): void {
    if (!this.#connections.delete(socket) || socket.destroyed) return
    this.#connections.set(socket, connection)
  }

  /** The connection to close: an idle one without a token, else an idle one, else the new one. */
  #evictable(newcomer: Socket): Socket {
    let idle: Socket | undefined
    for (const [socket, { isAuthenticated: trusted, running }] of this.#connections) {
      if (socket === newcomer || running > 0) continue
      if (!trusted) return socket
      idle ??= socket
    }
    return idle ?? newcomer
  }
}
