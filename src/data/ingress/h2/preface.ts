/** Tells connections of HTTP/2 from those of HTTP/1.1 and of neither: by TLS, or by their first bytes (RFC 9113, sections 3.2 to 3.4). */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { timer, type Wheel } from '../../../lib/wheel.ts'
import { refusal } from '../../http/refusal.ts'

/** The beginning of HTTP/2's preface, which no request of HTTP/1.1 has. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\n')

export function beginsPreface(bytes: Buffer): boolean {
  return bytes.length >= PREFACE.length && PREFACE.compare(bytes, 0, PREFACE.length) === 0
}

/**
 * Bytes of a first line that is looked at as a whole. Longer ones are HTTP/1.1's affair, as is what is no text: the parser sees at
 * once that it is broken.
 */
const MAX_LINE_BYTES = 256
/** A line that has not ended: text, and whatever is in front of a line feed. */
const PART = /^[ -~]*\r?$/
/** A whole line of three words or more of which the last is no version of HTTP's, as each request of HTTP/1 has (RFC 9112, section 3). */
const FOREIGN = /^[!-~]+ [!-~]+(?: [ -~]*)? (?!HTTP\/)[!-~]+\r?\n/i

/** Whether the bytes are too few to tell: of the preface, or of the first line where that may be anything. */
export function isUnclear(bytes: Buffer): boolean {
  if (bytes.length < PREFACE.length && PREFACE.compare(bytes, 0, bytes.length, 0, bytes.length) === 0)
    return true
  return bytes.length < MAX_LINE_BYTES && PART.test(bytes.toString('latin1'))
}

/**
 * Whether a client that has sent nothing before speaks another protocol, or broken HTTP/2: an answer in HTTP/1.1 is not what it would
 * read. Only what looks like a request by its first line should get one (RFC 9112, section 2.2).
 */
export function isForeign(bytes: Buffer): boolean {
  return FOREIGN.test(bytes.toString('latin1', 0, MAX_LINE_BYTES))
}

/** The part of the HTTP/2 door that is needed here. */
interface Taking {
  take(socket: Duplex): void
}

export interface SortOptions {
  readonly http2: Taking
  /** Called for each connection that is closed because it is foreign. */
  readonly foreign: () => void
  readonly headTimeoutMs: number
  readonly wheel: Wheel
  readonly mintId: () => string
}

/** Where there is no fast door, which does the same: gives HTTP/2's connections of a server of node:http to the HTTP/2 door. */
export function sortConnections(
  server: Server,
  { http2, foreign, headTimeoutMs, wheel, mintId }: SortOptions,
) {
  const listeners = server.listeners('connection')
  const waiting = new Set<Socket>()
  server.removeAllListeners('connection').on('connection', (socket: Socket) => {
    let bytes: Buffer = Buffer.alloc(0)
    const late = timer(() => end('408 Request Timeout'))
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      if (isUnclear(bytes)) return
      done()
      if (isForeign(bytes)) {
        foreign()
        return void socket.destroy()
      }
      socket.pause()
      socket.unshift(bytes)
      if (beginsPreface(bytes)) return http2.take(socket)
      for (const listener of listeners) listener.call(server, socket)
      socket.resume()
    }
    const done = () => {
      waiting.delete(socket)
      wheel.disarm(late)
      socket.off('data', onData).off('end', onEnd).off('error', close).off('close', done)
    }
    const close = () => void socket.destroy()
    const end = (status: string) => {
      done()
      socket.on('error', close)
      if (bytes.length > 0) socket.end(refusal(status, { requestId: mintId() }), close)
      else close()
    }
    const onEnd = () => end('400 Bad Request')
    waiting.add(socket)
    wheel.arm(late, headTimeoutMs)
    socket.on('data', onData).on('end', onEnd).on('error', close).on('close', done)
  })
  const cut = () => {
    for (const socket of waiting) socket.destroy()
  }
  return { leave() {}, drain: cut, cut }
}

/** A client that has chosen HTTP/2 in its TLS handshake speaks nothing else. */
export function takeNegotiated(server: Server, http2: Taking): void {
  const listeners = server.listeners('connection')
  server.removeAllListeners('connection').on('connection', (socket: Socket) => {
    if (socket instanceof TLSSocket && socket.alpnProtocol === 'h2') return http2.take(socket)
    for (const listener of listeners) listener.call(server, socket)
  })
}
