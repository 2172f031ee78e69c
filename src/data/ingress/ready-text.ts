/**
 * A hit as it goes out, head and body in one text. It is made once for as long as none of its times shows another
 * second, so that an answer that is asked for often costs one write and nothing else.
 */
import type { Reply } from '../../core/reply.ts'
import { ageMs, remainingMs } from '../cache/entry.ts'
import { dateLine, fieldLines, statusLine } from './door/reply-head.ts'
import { forwardedReply } from './headers.ts'
import { age, cacheStatus } from './status.ts'

/** Longer bodies are written as they are: in a text they would be copied with every change of a second. */
export const MAX_TEXT_BODY_BYTES = 2048

const SECOND = 1000

/** An answer and its times. */
export interface Timed {
  readonly reply: Reply
  readonly createdAt: number
  readonly ttlMs: number
}

export class ReadyText {
  readonly #answer: Timed
  readonly #tier: string
  #connection = ''
  #from = 0
  #until = 0
  #text = ''

  constructor(answer: Timed, tier: string) {
    this.#answer = answer
    this.#tier = tier
  }

  /** `connection`: the field lines about the connection. */
  at(wall: number, connection: string): string {
    if (wall < this.#from || wall >= this.#until || connection !== this.#connection)
      this.#make(wall, connection)
    return this.#text
  }

  #make(wall: number, connection: string): void {
    const { reply, createdAt, ttlMs } = this.#answer
    const old = ageMs(this.#answer, wall)
    const left = remainingMs(this.#answer, wall)
    const outcome = { kind: 'hit', tier: this.#tier, ageMs: old, ttlMs: left } as const
    const body = reply.body as Uint8Array
    const { text, isDated } = fieldLines(forwardedReply(reply.headers))
    const isBodiless = reply.status === 204 || reply.status === 304
    this.#text =
      `${statusLine(reply.status)}${text}Cache-Status: ${cacheStatus(outcome)}\r\nAge: ${age(outcome)}\r\n` +
      `${isDated ? '' : dateLine(wall)}${isBodiless ? '' : `Content-Length: ${body.length}\r\n`}${connection}\r\n`
    if (!isBodiless && body.length <= MAX_TEXT_BODY_BYTES)
      this.#text += Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1')
    this.#connection = connection
    this.#from = wall
    this.#until = Math.min(
      (Math.floor(wall / SECOND) + 1) * SECOND,
      // A clock that was stepped backwards: the age stays 0 until it has caught up.
      createdAt + Math.floor(old / SECOND + 1) * SECOND,
      createdAt + ttlMs - (Math.ceil(left / SECOND) - 1) * SECOND,
    )
  }
}
