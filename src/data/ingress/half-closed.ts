/**
 * Finds out whether a client that has closed its sending side waits for its answer or has left: TCP shows no difference before
 * something is written. So bytes are written that every client of HTTP/1.1 must read over: an interim answer before the answer
 * (RFC 9110, section 15.2), a leading zero of the next chunk's size within one that comes in chunks (RFC 9112, section 7.1); of
 * HTTP/2, a PING. The system of a client that has left answers with a reset, at which the next write fails and the call is cancelled. Where no such
 * bytes exist (HTTP/1.0, a body with a length) the client is taken to wait, for as long as its call may take.
 */
import { type Timer, timer, type Wheel } from '../../lib/wheel.ts'

/** The interim answer that all clients read over: Python's http.client takes every other one for the final answer. */
export const INTERIM_PROBE = 'HTTP/1.1 100 Continue\r\n\r\n'
export const CHUNK_PROBE = '0'

/** Milliseconds before the first probe; each pause is twice the one before, so that a reset has time to arrive. */
const FIRST_MS = 200
/** Go and curl refuse a chunk size of more than 16 digits, and the longest chunk needs 8. */
const PROBES = 8

export class HalfClosed {
  readonly #wheel: Wheel
  readonly #timer: Timer
  #probes = 0

  /** `probe` writes the bytes that the state of the answer allows, if any. */
  constructor(wheel: Wheel, probe: () => void) {
    this.#wheel = wheel
    this.#timer = timer(() => {
      probe()
      if (++this.#probes < PROBES) this.#arm()
    })
    this.#arm()
  }

  /** The connection is closed, or is being closed. */
  end(): void {
    this.#wheel.disarm(this.#timer)
  }

  #arm(): void {
    this.#wheel.arm(this.#timer, FIRST_MS * 2 ** this.#probes)
  }
}
