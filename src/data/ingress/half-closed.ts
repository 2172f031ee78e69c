/**
 * A timer for a client that has closed its sending side. It either waits for its answer or has left; TCP shows no difference
 * before something is written. So the answer must begin within 200 ms; otherwise the client is taken to have left, and its
 * call is cancelled. A client that had left would reset the connection at the first bytes of an answer.
 */
import type { Duplex } from 'node:stream'
import { type Timer, timer, type Wheel } from '../../lib/wheel.ts'

const PATIENCE_MS = 200

export class HalfClosed {
  readonly #wheel: Wheel
  readonly #timer: Timer

  /** `left`: called if nothing was written in time. */
  constructor(socket: Duplex & { readonly bytesWritten?: number }, wheel: Wheel, left: () => void) {
    const written = socket.bytesWritten
    this.#wheel = wheel
    this.#timer = timer(() => {
      if (socket.bytesWritten === written) left()
    })
    wheel.arm(this.#timer, PATIENCE_MS)
  }

  /** The connection is closed, or is being closed. */
  end(): void {
    this.#wheel.disarm(this.#timer)
  }
}
