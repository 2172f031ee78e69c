/**
 * Makes an accepted connection read into our own memory. By default node:net allocates 64 KiB for each read, copies the bytes
 * out of it, and leaves both to the garbage collector, which has little else to do on a busy server.
 */
import net from 'node:net'

/** The same as the `onread` option of net.Socket. */
export interface SocketReading {
  /** The memory for the next read; undefined: the same as before. */
  readonly buffer: () => Uint8Array | undefined
  /** Called when so many bytes lie in the buffer. False: read no more until `resume`. */
  readonly callback: (size: number) => boolean
}

/** The handle of an accepted socket; net.Server has no option to give the sockets that it accepts a buffer. */
interface Handled {
  _handle: { useUserBuffer?: unknown } | null
}

/**
 * A socket for the same connection that reads into the given memory. Undefined if that is impossible: with TLS, for a stream
 * that is no socket, in a Node version without such handles. `accepted` must be unused, and must not be used again.
 */
export function readInto(accepted: unknown, onread: SocketReading): net.Socket | undefined {
  if (!(accepted instanceof net.Socket) || accepted.constructor !== net.Socket) return undefined
  const holder = accepted as unknown as Handled
  const handle = holder._handle
  if (typeof handle?.useUserBuffer !== 'function') return undefined
  holder._handle = null
  const options = { handle, onread, allowHalfOpen: true }
  const socket = new net.Socket(options as unknown as net.SocketConstructorOpts)
  // The server counts its connections by the socket that it accepted.
  socket.once('close', () => accepted.destroy())
  return socket
}
