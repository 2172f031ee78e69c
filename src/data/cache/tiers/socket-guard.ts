/**
 * Validates what a server sends before a client library reads it. The libraries parse in the socket's `data` event, and an
 * exception there would end the process; behind the guard it ends the connection only.
 */
import type { Socket } from 'node:net'

/** The server sent something that is not its protocol, or answers no request; the connection must be dropped. */
export class Garbled extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Garbled'
  }
}

export interface Judge {
  /** A command was written. */
  requested(): void
  /** Bytes have arrived; throws Garbled. */
  read(chunk: Buffer): void
}

/** Guards a socket. To be called before anybody listens to it or writes to it. Each write must be one command. */
export function guardSocket(socket: Socket, judge: Judge): void {
  const emit = socket.emit.bind(socket) as (event: string | symbol, ...values: unknown[]) => boolean
  socket.emit = (event: string | symbol, ...values: unknown[]) => {
    if (event !== 'data') return emit(event, ...values)
    if (socket.destroyed) return false
    try {
      judge.read(values[0] as Buffer)
      return emit(event, ...values)
    } catch (error) {
      socket.destroy(error instanceof Error ? error : new Error(String(error)))
      return false
    }
  }
  const write = socket.write.bind(socket) as (...values: unknown[]) => boolean
  socket.write = (...values: unknown[]) => {
    judge.requested()
    return write(...values)
  }
}
