/**
 * The connections of the admin listener, and who goes when there are too many. A limit that turns newcomers away lets
 * anybody shut the probes of an orchestrator out, with connections that say nothing. So the newcomer is taken, and one that
 * has shown no token yet is let go: the one that has been still for longest.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

interface AdminConnection {
  /** It has sent a request that was let in, to something that not everybody may have. */
  trusted: boolean
  /** Requests that are not answered yet. */
  running: number
}

export class Connections {
  /** The one that has been still for longest comes first. */
  readonly #guests = new Map<Socket, AdminConnection>()
  readonly #most: number

  constructor(server: Server, most: number) {
    this.#most = most
    server.on('connection', (socket: Socket) => this.#came(socket))
    server.prependListener('request', (request, response) => this.#asked(request, response))
  }

  get size(): number {
    return this.#guests.size
  }

  /** Who holds a token is not let go for somebody who may have none. */
  trust(socket: Socket): void {
    const guest = this.#guests.get(socket)
    if (guest) guest.trusted = true
  }

  #came(socket: Socket): void {
    this.#guests.set(socket, { trusted: false, running: 0 })
    socket.once('close', () => this.#guests.delete(socket))
    if (this.#guests.size > this.#most) this.#dispensable(socket).destroy()
  }

  #asked({ socket }: IncomingMessage, response: ServerResponse): void {
    const guest = this.#guests.get(socket)
    if (!guest) return
    this.#stirred(socket, guest)
    guest.running++
    response.once('close', () => {
      guest.running--
      this.#stirred(socket, guest)
    })
  }

  #stirred(socket: Socket, guest: AdminConnection): void {
    if (!this.#guests.delete(socket) || socket.destroyed) return
    this.#guests.set(socket, guest)
  }

  /** First of those who have shown no token and wait for nothing, then of all who wait for nothing; the newcomer where all are busy. */
  #dispensable(newcomer: Socket): Socket {
    let idle: Socket | undefined
    for (const [socket, { trusted, running }] of this.#guests) {
      if (socket === newcomer || running > 0) continue
      if (!trusted) return socket
      idle ??= socket
    }
    return idle ?? newcomer
  }
}
