/**
 * A lingering close (RFC 9112, section 9.6). If a connection is closed while its client still sends, TCP resets it, and the
 * client loses the part of the answer that it has not read. So what it still sends is read and dropped, within bounds.
 */
import type { Duplex } from 'node:stream'
import { type Timer, timer, type Wheel } from '../../lib/wheel.ts'

/** A client that sends nothing for this long has read its answer, or never will. */
const SILENCE_MS = 1000
const MAX_MS = 30_000
const MAX_BYTES = 64 * 1024 * 1024

export class Linger {
  readonly #socket: Duplex
  readonly #wheel: Wheel
  readonly #timer: Timer
  readonly #until: number
  readonly #slowMs: number
  #left = MAX_BYTES

  /** Starts the timers; the reader reports bytes to `received`. `slowMs`: the timeout while the answer is not sent completely. */
  constructor(socket: Duplex, wheel: Wheel, slowMs = SILENCE_MS) {
    this.#socket = socket
    this.#wheel = wheel
    this.#slowMs = slowMs
    this.#timer = timer(() => void socket.destroy())
    this.#until = wheel.now() + MAX_MS
    wheel.arm(this.#timer, this.#silenceMs)
  }

  /** The client has sent more bytes, which were dropped. */
  received(bytes: number): void {
    this.#left -= bytes
    const now = this.#wheel.now()
    if (this.#left < 0 || now >= this.#until) this.#socket.destroy()
    else this.#wheel.arm(this.#timer, this.#silenceMs, now)
  }

  get #silenceMs(): number {
    return this.#socket.writableLength > 0 ? this.#slowMs : SILENCE_MS
  }

  /** The connection is closed, or the rest of the body has arrived. */
  end(): void {
    this.#wheel.disarm(this.#timer)
  }
}
