/** A hit's fields as HTTP/2 sends them, made anew only when one of their times shows another second, as `ReadyText` is. */
import type { RawPairs } from '../../core/call.ts'
import { forwardedReply } from '../http/headers.ts'
import { cacheFields } from '../http/status.ts'
import { loweredFields } from './lowered.ts'
import { type Timed, timesAt } from './ready-text.ts'

export class ReadyFields {
  readonly #answer: Timed
  readonly #tier: string
  readonly #before: RawPairs
  #from = 0
  #until = 0
  #fields: RawPairs = []

  /** Throws TypeError if a field cannot be sent. */
  constructor(answer: Timed, tier: string) {
    this.#answer = answer
    this.#tier = tier
    const { status, headers, body } = answer.reply
    this.#before = loweredFields(status, forwardedReply(headers), (body as Uint8Array).length)
  }

  /** From `:status` on. */
  at(wall: number): RawPairs {
    if (wall < this.#from || wall >= this.#until) {
      const { ageMs, ttlMs, until } = timesAt(this.#answer, wall)
      const times = cacheFields({ kind: 'hit', tier: this.#tier, ageMs, ttlMs })
      this.#fields = [...this.#before, ...times.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text))]
      this.#from = wall
      this.#until = until
    }
    return this.#fields
  }
}
