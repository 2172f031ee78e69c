/** One port for HTTP/1.1 and HTTP/2: the first bytes of a connection tell them apart. */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { REQUEST_TIMEOUT_MS } from './limits.ts'

/** No method of HTTP/1.1 begins so (RFC 9113, 3.4). */
const PREFACE = 'PRI '

/**
 * Hands connections that begin with the preface of HTTP/2 to `http2`, and leaves the others to the server. Returns the connections
 * that have said nothing yet, which belong to neither.
 */
export function splitByPreface(server: Server, http2: (socket: Socket) => void): ReadonlySet<Socket> {
  const listeners = server.listeners('connection')
  const http1 = (socket: Socket): void =>
    listeners.forEach((listener) => Reflect.apply(listener, server, [socket]))
  const silent = new Set<Socket>()
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    const drop = (): void => void socket.destroy()
    const forget = (): void => void silent.delete(socket)
    const read = (): void => {
      const first = socket.read(PREFACE.length) as Buffer | null
      if (!first) return
      forget()
      socket.off('readable', read).off('end', drop).off('error', drop).off('close', forget)
      socket.setTimeout(0, drop)
      socket.unshift(first)
      if (first.toString('latin1') === PREFACE) http2(socket)
      else http1(socket)
    }
    silent.add(socket)
    socket.on('readable', read).on('end', drop).on('error', drop).on('close', forget)
    socket.setTimeout(REQUEST_TIMEOUT_MS, drop)
  })
  return silent
}
