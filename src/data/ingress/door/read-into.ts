/**
 * Accepted connections that are read into memory of ours. For each read of its own, node:net allocates 64 KiB, copies
 * out of them what came, and leaves the copy to the collector, which on a busy server has little else to do.
 */
import net from 'node:net'

/** As `onread` of net.Socket. */
export interface SocketReading {
  /** Where the next bytes are to go; undefined: where the last went. */
  readonly buffer: () => Uint8Array | undefined
  /** So many bytes lie in the buffer; false: read no more until `resume`. */
  readonly callback: (size: number) => boolean
}

/** What an accepted socket hands on; net.Server gives it no buffer itself, and has no other way of doing so. */
interface Handled {
  _handle: { useUserBuffer?: unknown } | null
}

/**
 * The same connection as a socket that reads so, or undefined where that is not to be had: with TLS, on a stream that is no
 * socket, on an engine that has changed. `accepted` must not have been read or written, and must not be used again.
 */
export function readInto(accepted: unknown, onread: SocketReading): net.Socket | undefined {
  if (!(accepted instanceof net.Socket) || accepted.constructor !== net.Socket) return undefined
  const holder = accepted as unknown as Handled
  const handle = holder._handle
  if (typeof handle?.useUserBuffer !== 'function') return undefined
  holder._handle = null
  const options = { handle, onread, allowHalfOpen: true }
  const socket = new net.Socket(options as unknown as net.SocketConstructorOpts)
  // The server counts the one that it accepted.
  socket.once('close', () => accepted.destroy())
  return socket
}
