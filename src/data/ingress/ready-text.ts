/**
 * A hit as it goes out, head and body in one text. It is put together once for as long as none of its times shows another
 * second, so that an answer that is asked for often costs one write and nothing else. What does not change with time is
 * made once: when a second is over all answers are due at once.
 */
import type { Reply } from '../../core/reply.ts'
import { ageMs, remainingMs } from '../cache/entry.ts'
import { dateLine, fieldLines, statusLine } from './door/reply-head.ts'
import { forwardedReply } from './headers.ts'
import { cacheStatus } from './status.ts'

/** Longer bodies are written as they are: in a text they would be copied with every change of a second. */
export const MAX_TEXT_BODY_BYTES = 2048

const SECOND = 1000
/** As `cacheStatus` says that nothing is left. */
const TTL = '; ttl=0'

/** An answer and its times. */
export interface Timed {
  readonly reply: Reply
  readonly createdAt: number
  readonly ttlMs: number
}

export class ReadyText {
  readonly #answer: Timed
  /** What stands before, between and behind the numbers of seconds, the date and the fields about the connection. */
  readonly #before: string
  readonly #between: string
  readonly #isDated: boolean
  readonly #length: string
  readonly #body: string
  #connection = ''
  #from = 0
  #until = 0
  #text = ''

  constructor(answer: Timed, tier: string) {
    this.#answer = answer
    const { status, headers } = answer.reply
    const body = answer.reply.body as Uint8Array
    const { text, isDated } = fieldLines(forwardedReply(headers))
    const [shown = '', detail = ''] = (cacheStatus({ kind: 'hit', tier, ageMs: 0, ttlMs: 0 }) ?? '').split(
      TTL,
    )
    const isBodiless = status === 204 || status === 304
    const isJoined = !isBodiless && body.length <= MAX_TEXT_BODY_BYTES
    this.#before = `${statusLine(status)}${text}Cache-Status: ${shown}; ttl=`
    this.#between = `${detail}\r\nAge: `
    this.#isDated = isDated
    this.#length = isBodiless ? '' : `Content-Length: ${body.length}\r\n`
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
    const date = this.#isDated ? '' : dateLine(wall)
    this.#text = `${this.#before}${left}${this.#between}${age}\r\n${date}${this.#length}${connection}\r\n${this.#body}`
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
