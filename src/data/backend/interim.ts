/**
 * undici reads over any interim answer but 100, for which it ends the connection, as nobody asked for it; a client must be
 * able to read over that one as well (RFC 9110, section 15.2). So 100 is made 102 of before undici sees it, byte by byte as
 * it arrives. undici says when a request leaves; until its final answer begins, and no longer, such heads may come.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'

const awaited = new WeakMap<Socket, InterimAnswers>()

subscribe('undici:client:sendHeaders', (message) => {
  awaited.get((message as { readonly socket: Socket }).socket)?.expect()
})

/** What arrives on a socket of undici's passes by here from now on. */
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
const NINE = 57

const PASSING = 0
const BEGINNING = 1
const ENDING = 2

/** Bytes of an answer, in any pieces. */
class InterimAnswers {
  #state = PASSING
  /** How many bytes are as they are to be: of the beginning of a head, or of its end. */
  #seen = 0

  expect(): void {
    this.#become(BEGINNING)
  }

  /** Changes `bytes` where they are the status of an answer 100. */
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
    this.#become(byte >= ZERO && byte <= NINE ? ENDING : PASSING)
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
