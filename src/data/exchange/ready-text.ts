/**
 * A hit as it goes out, head and body in one text. It is put together once for as long as none of its times shows another
 * second, so that an answer that is asked for often costs one write and nothing else. What does not change with time is
 * made once: when a second is over all answers are due at once.
 */
import type { Reply } from '../../core/reply.ts'
import { ageMs, remainingMs } from '../cache/entry.ts'
import { HitHead } from './hit-head.ts'

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
  readonly #head: HitHead
  readonly #length: number
  readonly #body: string
  #connection = ''
  #from = 0
  #until = 0
  #text = ''

  constructor(answer: Timed, tier: string) {
    this.#answer = answer
    const { status, headers } = answer.reply
    const body = answer.reply.body as Uint8Array
    this.#head = new HitHead(status, headers, tier)
    this.#length = body.length
    const isJoined = this.#head.hasBody && body.length <= MAX_TEXT_BODY_BYTES
    this.#body = isJoined ? Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1') : ''
  }

  /** `connection`: the field lines about the connection. */
  at(wall: number, connection: string): string {
    if (wall < this.#from || wall >= this.#until || connection !== this.#connection)
      this.#make(wall, connection)
    return this.#text
  }

  #make(wall: number, connection: string): void {
    const { createdAt, ttlMs } = this.#answer
    const old = ageMs(this.#answer, wall)
    const left = Math.ceil(remainingMs(this.#answer, wall) / SECOND)
    const age = Math.floor(old / SECOND)
    this.#text = this.#head.at({ wall, age, left }, this.#length, connection) + this.#body
    this.#connection = connection
    this.#from = wall
    this.#until = Math.min(
      (Math.floor(wall / SECOND) + 1) * SECOND,
      // A clock that was stepped backwards: the age stays 0 until it has caught up.
      createdAt + (age + 1) * SECOND,
      createdAt + ttlMs - (left - 1) * SECOND,
    )
  }
}
