/**
 * A hit as it is written: head and body in one text. The text is remade only when one of its times shows another second, so a
 * frequent answer costs one write; the id of the request is put between head and body, and an id that each caller gets another
 * of between the pieces of the body. Whatever does not change with time is made once, since at the end of a second the texts of
 * all answers are remade together.
 */
import { freshId } from '../../core/own-id.ts'
import type { Reply } from '../../core/reply.ts'
import { ageMs, remainingMs } from '../cache/entry.ts'
import { HitHead } from './hit-head.ts'
import { BEFORE_ID, BEHIND_ID } from './reply-head.ts'

/** Longer bodies are written as bytes: in the text they would be copied each second. */
export const MAX_TEXT_BODY_BYTES = 2048

const SECOND = 1000

/** A reply and the times of its entry. */
export interface Timed {
  readonly reply: Reply
  readonly createdAt: number
  readonly ttlMs: number
}

export class ReadyText {
  readonly #answer: Timed
  readonly #head: HitHead
  readonly #length: number
  readonly #ownId: string | undefined
  /** From the end of the head on, up to the first id in the body where it has any; and what is behind each. */
  readonly #body: string
  readonly #pieces: readonly string[]
  #connection = ''
  #from = 0
  #until = 0
  #headText = ''

  constructor(answer: Timed, tier: string) {
    this.#answer = answer
    const { status, headers, ownId } = answer.reply
    const body = answer.reply.body as Uint8Array
    this.#head = new HitHead(status, headers, tier)
    this.#length = body.length
    const isJoined = this.#head.hasBody && body.length <= MAX_TEXT_BODY_BYTES
    const text = isJoined ? Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1') : ''
    const [first = '', ...pieces] = ownId === undefined ? [text] : text.split(ownId)
    this.#ownId = ownId
    this.#body = flat(BEHIND_ID + first)
    this.#pieces = pieces
  }

  /** `connection`: the field lines about the connection. */
  at(wall: number, connection: string, requestId: string): string {
    if (wall < this.#from || wall >= this.#until || connection !== this.#connection)
      this.#make(wall, connection)
    const text = this.#headText + requestId + this.#body
    return this.#pieces.length === 0 ? text : this.#withOwnId(text)
  }

  #withOwnId(before: string): string {
    const id = freshId(this.#ownId as string)
    let text = before
    for (const piece of this.#pieces) text += id + piece
    return text
  }

  #make(wall: number, connection: string): void {
    const { ageMs: old, ttlMs, until } = timesAt(this.#answer, wall)
    const times = { wall, age: Math.floor(old / SECOND), left: Math.ceil(ttlMs / SECOND) }
    this.#headText = flat(this.#head.at(times, this.#length, connection) + BEFORE_ID)
    this.#connection = connection
    this.#from = wall
    this.#until = until
  }
}

/** The text in one piece: one that was put together is gone through piece by piece each time it is written. */
function flat(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
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
