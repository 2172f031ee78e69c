/**
 * The connections of the admin listener, and who goes when there are too many. A limit that turns newcomers away lets
 * anybody shut the probes of an orchestrator out, with connections that say nothing. So the newcomer is taken, and one that
 * has shown no token yet is let go: the one that has been still for longest.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

interface AdminConnection {
  /** It has sent a request that was let in, to something that not everybody may have. */
  isAuthenticated: boolean
  /** Requests that are not answered yet. */
  running: number
}

export class Connections {
  /** The one that has been still for longest comes first. */
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

  /** Who holds a token is not let go for somebody who may have none. */
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

  /** First of those who have shown no token and wait for nothing, then of all who wait for nothing; the newcomer where all are busy. */
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
