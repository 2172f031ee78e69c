/**
 * Hands a connection over to another reader, with the bytes that are not read yet. A socket that has told its end takes no bytes
 * back: where the client has closed its end, the other reader gets a stream in front of the socket.
 */
import { Duplex } from 'node:stream'

/** The stream that the other reader gets, paused. */
export function withUnread(socket: Duplex, unread: Buffer): Duplex {
  if (socket.readableEnded) return new HalfClosedSocket(socket, unread)
  socket.pause()
  socket.unshift(unread)
  return socket
}

/** What is unread comes first and the end behind it; what is written goes to the socket. */
export class HalfClosedSocket extends Duplex {
  readonly socket: Duplex

  constructor(socket: Duplex, unread: Buffer) {
    super()
    this.socket = socket
    socket.once('close', () => this.destroy())
    this.push(unread)
    this.push(null)
  }

  get remoteAddress(): string | undefined {
    return (this.socket as { remoteAddress?: string }).remoteAddress
  }

  override _read(): void {
    // All that will ever come was pushed at the start.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, written: (error?: Error | null) => void): void {
    this.socket.write(chunk, written)
  }

  override _final(ended: () => void): void {
    this.socket.end(ended)
  }

  override _destroy(error: Error | null, destroyed: (error: Error | null) => void): void {
    this.socket.destroy()
    destroyed(error)
  }
}
