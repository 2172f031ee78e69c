/**
 * What a server sends is judged before a client library hears it. The libraries parse in the socket's `data` event, and what
 * they throw there would end the process; behind a guard it ends the connection, and nothing else.
 */
import type { Socket } from 'node:net'

/** What a server sent is not its protocol, or not what was asked; the connection is of no use any more. */
export class Garbled extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Garbled'
  }
}

export interface Judge {
  /** A command was written. */
  asked(): void
  /** Bytes have come; throws Garbled. */
  read(chunk: Buffer): void
}

/** To be called before anybody listens to the socket or writes to it. Each write must be one command. */
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
    judge.asked()
    return write(...values)
  }
}
