/**
 * Makes an accepted connection read into our own memory. By default node:net allocates 64 KiB for each read (node:tls as
 * much as has come), copies the bytes there, and leaves it all to the garbage collector, which has little else to do on a
 * busy server.
 */
import net from 'node:net'
import { TLSSocket } from 'node:tls'

/** The same as the `onread` option of net.Socket. */
export interface SocketReading {
  /** The memory for the next read; undefined: the same as before. */
  readonly buffer: () => Uint8Array | undefined
  /** Called when so many bytes lie in the buffer. False: read no more until `resume`. */
  readonly callback: (size: number) => boolean
}

/** The handle of an accepted socket; neither net.Server nor tls.Server has an option to give its sockets a buffer. */
interface Handled {
  _handle: { useUserBuffer?: (memory: Uint8Array) => void } | null
}

/**
 * A socket for the same connection that reads into the given memory. Undefined if that is impossible: for a stream
 * that is no socket, in a Node version without such handles. `accepted` must be unused; unless it is returned itself it
 * must not be used again.
 */
export function readInto(accepted: unknown, onread: SocketReading): net.Socket | undefined {
  if (accepted instanceof TLSSocket) return readTlsInto(accepted, onread)
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

/** What the `onread` option sets in a net.Socket: the memory, the function that gives it, and the one that is called. */
const [MEMORY, NEXT, CALLBACK] = ['kBuffer', 'kBufferGen', 'kBufferCb'].map((name) =>
  Object.getOwnPropertySymbols(new net.Socket()).find(({ description }) => description === name),
)

/** The same socket: its handle reports to it what becomes of TLS, so no other can take its place. */
function readTlsInto(socket: TLSSocket, { buffer, callback }: SocketReading): net.Socket | undefined {
  const { _handle: handle } = socket as unknown as Handled
  const memory = buffer()
  const isPossible = MEMORY && NEXT && CALLBACK && memory && socket.readableLength === 0
  if (!isPossible || typeof handle?.useUserBuffer !== 'function') return undefined
  Object.assign(socket, { [MEMORY]: memory, [NEXT]: buffer, [CALLBACK]: callback })
  handle.useUserBuffer(memory)
  return socket
}
