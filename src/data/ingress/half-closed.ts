/**
 * Finds out whether a client that has closed its sending side waits for its answer or has left: TCP shows no difference before
 * something is written. So an interim answer is written that clients must read over, even if they did not ask for it (RFC 9110,
 * section 15.2). The system of a client that has left answers with a reset, at which the next write fails and its call is cancelled.
 */
import { type Timer, timer, type Wheel } from '../../lib/wheel.ts'

/** Clients skip this one, if any: Python's http.client takes every other interim answer for the final one. */
export const PROBE = 'HTTP/1.1 100 Continue\r\n\r\n'

/** Milliseconds before each probe. The second fails if the reset came within its time, so a round trip may take that long. */
const PAUSES_MS = [200, 400]

export class HalfClosed {
  readonly #wheel: Wheel
  readonly #timer: Timer

  /** `probe` writes an interim answer, if the client waits for an answer that has not begun. */
  constructor(wheel: Wheel, probe: () => void) {
    this.#wheel = wheel
    const pauses = PAUSES_MS.values()
    this.#timer = timer(() => {
      probe()
      this.#arm(pauses.next().value)
    })
    this.#arm(pauses.next().value)
  }

  /** The connection is closed, or is being closed. */
  end(): void {
    this.#wheel.disarm(this.#timer)
  }

  #arm(ms: number | undefined): void {
    if (ms !== undefined) this.#wheel.arm(this.#timer, ms)
  }
}
