/**
 * A client that has closed its end of the connection: it has sent all that it will and waits for its answer, or it has left. TCP
 * shows no difference before something is written. So the answer has 200 ms to begin in; after that the client is taken for
 * gone, and nobody works for it any more. Whoever takes what is written is there: a client that had left would reset the connection.
 */
import type { Duplex } from 'node:stream'
import { type Timer, timer, type Wheel } from '../../lib/wheel.ts'

const PATIENCE_MS = 200

export class HalfClosed {
  readonly #wheel: Wheel
  readonly #timer: Timer

  /** `left`: nothing was written to it in time. */
  constructor(socket: Duplex & { readonly bytesWritten?: number }, wheel: Wheel, left: () => void) {
    const written = socket.bytesWritten
    this.#wheel = wheel
    this.#timer = timer(() => {
      if (socket.bytesWritten === written) left()
    })
    wheel.arm(this.#timer, PATIENCE_MS)
  }

  /** The connection is closed, or is about to be. */
  end(): void {
    this.#wheel.disarm(this.#timer)
  }
}
