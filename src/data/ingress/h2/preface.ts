/** Tells connections of HTTP/2 from those of HTTP/1.1: by TLS, or by their first bytes (RFC 9113, sections 3.2 to 3.4). */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { timer, type Wheel } from '../../../lib/wheel.ts'

/** The beginning of HTTP/2's preface, which no request of HTTP/1.1 has. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\n')

export function beginsPreface(bytes: Buffer): boolean {
  return bytes.length >= PREFACE.length && PREFACE.compare(bytes, 0, PREFACE.length) === 0
}

/** Whether the bytes are too few to tell. */
export function mayBePreface(bytes: Buffer): boolean {
  return bytes.length < PREFACE.length && PREFACE.compare(bytes, 0, bytes.length, 0, bytes.length) === 0
}

/** The part of the HTTP/2 door that is needed here. */
interface Taking {
  take(socket: Duplex): void
}

export interface SortOptions {
  readonly http2: Taking
  readonly headTimeoutMs: number
  readonly wheel: Wheel
}

/** Where there is no fast door, which does the same: gives HTTP/2's connections of a server of node:http to the HTTP/2 door. */
export function sortConnections(server: Server, { http2, headTimeoutMs, wheel }: SortOptions) {
  const listeners = server.listeners('connection')
  const waiting = new Set<Socket>()
  server.removeAllListeners('connection').on('connection', (socket: Socket) => {
    let bytes: Buffer = Buffer.alloc(0)
    const late = timer(() => void socket.destroy())
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      if (mayBePreface(bytes)) return
      done()
      socket.pause()
      socket.unshift(bytes)
      if (beginsPreface(bytes)) return http2.take(socket)
      for (const listener of listeners) listener.call(server, socket)
      socket.resume()
    }
    const done = () => {
      waiting.delete(socket)
      wheel.disarm(late)
      socket.off('data', onData).off('end', close).off('error', close).off('close', done)
    }
    const close = () => void socket.destroy()
    waiting.add(socket)
    wheel.arm(late, headTimeoutMs)
    socket.on('data', onData).on('end', close).on('error', close).on('close', done)
  })
  const end = () => {
    for (const socket of waiting) socket.destroy()
  }
  return { leave() {}, drain: end, cut: end }
}

/** A client that has chosen HTTP/2 in its TLS handshake speaks nothing else. */
export function takeNegotiated(server: Server, http2: Taking): void {
  const listeners = server.listeners('connection')
  server.removeAllListeners('connection').on('connection', (socket: Socket) => {
    if (socket instanceof TLSSocket && socket.alpnProtocol === 'h2') return http2.take(socket)
    for (const listener of listeners) listener.call(server, socket)
  })
}
