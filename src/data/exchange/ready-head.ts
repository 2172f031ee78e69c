/**
 * The head of a hit as it is written, up to the id of the request. It is remade only when one of its times shows another second,
 * so a frequent answer costs one write. Whatever does not change with time is made once, since at the end of a second the heads
 * of all answers are remade together.
 */
import type { Reply } from '../../core/reply.ts'
import { ageMs, remainingMs } from '../cache/entry.ts'
import { HitHead } from './hit-head.ts'
import { BEFORE_ID } from './reply-head.ts'

const SECOND = 1000

/** A reply and the times of its entry. */
export interface Timed {
  readonly reply: Reply
  readonly createdAt: number
  readonly ttlMs: number
}

export class ReadyHead {
  readonly #answer: Timed
  readonly #head: HitHead
  readonly #length: number
  #connection = ''
  #from = 0
  #until = 0
  #bytes: Buffer = Buffer.alloc(0)

  /** Throws TypeError if a field cannot be sent. */
  constructor(answer: Timed, tier: string) {
    this.#answer = answer
    const { status, headers, body } = answer.reply
    this.#head = new HitHead(status, headers, tier)
    this.#length = (body as Uint8Array).length
  }

  /** Whether the status allows a body. */
  get hasBody(): boolean {
    return this.#head.hasBody
  }

  /** `connection`: the field lines about the connection. Behind these bytes come the id and `BEHIND_ID`. */
  at(wall: number, connection: string): Buffer {
    if (wall < this.#from || wall >= this.#until || connection !== this.#connection)
      this.#make(wall, connection)
    return this.#bytes
  }

  #make(wall: number, connection: string): void {
    const { ageMs: old, ttlMs, until } = timesAt(this.#answer, wall)
    const times = { wall, age: Math.floor(old / SECOND), left: Math.ceil(ttlMs / SECOND) }
    // Anew, not in place: an answer of this turn may still have to be written.
    this.#bytes = Buffer.from(this.#head.at(times, this.#length, connection) + BEFORE_ID, 'latin1')
    this.#connection = connection
    this.#from = wall
    this.#until = until
  }
}

/** How old an answer is, how long it stays fresh, and until when whole seconds of these and of the date stay the same. */
export function timesAt(answer: Timed, wall: number): { ageMs: number; ttlMs: number; until: number } {
  const { createdAt, ttlMs } = answer
  const old = ageMs(answer, wall)
  const left = remainingMs(answer, wall)
  const until = Math.min(
    (Math.floor(wall / SECOND) + 1) * SECOND,
    // If the clock was stepped back, the age stays 0 until the clock has caught up.
    createdAt + (Math.floor(old / SECOND) + 1) * SECOND,
    createdAt + ttlMs - (Math.ceil(left / SECOND) - 1) * SECOND,
  )
  return { ageMs: old, ttlMs: left, until }
}
