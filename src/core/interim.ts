/**
 * Makes undici skip the interim answer 100. undici skips every interim answer but 100, for which it ends the connection, as
 * it never sends Expect; yet a client must be able to skip that one as well (RFC 9110, section 15.2). So a status 100 is
 * changed to 102 before undici sees it, byte by byte as it arrives. undici reports when a request leaves; interim heads are
 * looked for from then until the final answer begins.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'

const awaited = new WeakMap<Socket, InterimAnswers>()

subscribe('undici:client:sendHeaders', (message) => {
  awaited.get((message as { readonly socket: Socket }).socket)?.expect()
})

/** Filters what arrives on a socket of undici's from now on. */
export function readOverContinue(socket: Socket): void {
  const answers = new InterimAnswers()
  awaited.set(socket, answers)
  const push = socket.push.bind(socket)
  socket.push = (chunk: Buffer | null, encoding) => {
    if (chunk) answers.pass(chunk)
    return push(chunk, encoding)
  }
}

const BEGIN = Buffer.from('HTTP/1.1 10')
const END = Buffer.from('\r\n\r\n')
const ZERO = 48
const ONE = 49
const NINE = 57

const PASSING = 0
const BEGINNING = 1
const ENDING = 2

/** Finds status 100 in the bytes of an answer, which may come in any pieces. */
class InterimAnswers {
  #state = PASSING
  /** How many bytes of BEGIN, or of END, have matched. */
  #seen = 0

  expect(): void {
    this.#become(BEGINNING)
  }

  /** Changes `bytes` in place where they hold the status 100. */
  pass(bytes: Buffer): void {
    for (let at = 0; at < bytes.length && this.#state !== PASSING; at++)
      if (this.#state === BEGINNING) this.#begins(bytes, at)
      else this.#ends(bytes[at] as number)
  }

  #begins(bytes: Buffer, at: number): void {
    const byte = bytes[at] as number
    if (this.#seen < BEGIN.length) {
      if (byte === BEGIN[this.#seen]) this.#seen++
      else this.#become(PASSING)
      return
    }
    if (byte === ZERO) bytes[at] = ZERO + 2
    // Behind a 101 nothing is HTTP any more.
    this.#become(byte >= ZERO && byte <= NINE && byte !== ONE ? ENDING : PASSING)
  }

  #ends(byte: number): void {
    this.#seen = byte === END[this.#seen] ? this.#seen + 1 : Number(byte === END[0])
    if (this.#seen === END.length) this.#become(BEGINNING)
  }

  #become(state: number): void {
    this.#state = state
    this.#seen = 0
  }
}
