/**
 * A lingering close (RFC 9112, section 9.6). A connection that is closed while its client still sends is reset, and the reset
 * takes away the answer that the client has not read yet. So what it still sends is read and dropped, for a while.
 */
import type { Duplex } from 'node:stream'
import { type Timer, timer, type Wheel } from '../../lib/wheel.ts'

/** A client that sends nothing for so long has read its answer, or never will. */
const SILENCE_MS = 1000
const MAX_MS = 30_000
const MAX_BYTES = 64 * 1024 * 1024

export class Linger {
  readonly #socket: Duplex
  readonly #wheel: Wheel
  readonly #timer: Timer
  readonly #until: number
  #left = MAX_BYTES

  /** Reads on from now; who reads says what has come by `heard`. `slowMs`: for a client that is slow to take its answer. */
  constructor(socket: Duplex, wheel: Wheel, slowMs = SILENCE_MS) {
    this.#socket = socket
    this.#wheel = wheel
    this.#timer = timer(() => void socket.destroy())
    this.#until = wheel.now() + MAX_MS
    wheel.arm(this.#timer, socket.writableLength > 0 ? slowMs : SILENCE_MS)
  }

  /** The client has sent so much more. */
  received(bytes: number): void {
    this.#left -= bytes
    const now = this.#wheel.now()
    if (this.#left < 0 || now >= this.#until) this.#socket.destroy()
    else this.#wheel.arm(this.#timer, SILENCE_MS, now)
  }

  /** The connection is closed, or what was missing has come. */
  end(): void {
    this.#wheel.disarm(this.#timer)
  }
}
