/** A hit's field blocks as HTTP/2 sends them, made anew only when one of their times shows another second, as `ReadyHead` is. */
import type { RawPairs } from '../../core/call.ts'
import { REQUEST_ID } from '../../core/request-id.ts'
import { encodeFields } from '../../lib/http2/hpack-encoder.ts'
import { forwardedReply, forwardedTrailers } from '../http/headers.ts'
import { cacheFields } from '../http/status.ts'
import type { CorsFields } from '../route/cors.ts'
import { headFields, lowered } from './lowered.ts'
import { type Timed, timesAt } from './ready-head.ts'

export class ReadyFields {
  readonly #answer: Timed
  readonly #tier: string
  readonly #pairs: RawPairs
  readonly #length: number
  /** The block behind the body; undefined: there is none. */
  readonly trailers: Buffer | undefined
  #from = 0
  #until = 0
  #block: Buffer = Buffer.alloc(0)

  /** Throws TypeError if a field cannot be sent. */
  constructor(answer: Timed, tier: string) {
    const { headers, trailers, body } = answer.reply
    this.#answer = answer
    this.#tier = tier
    this.#pairs = lowered(forwardedReply(headers))
    this.#length = (body as Uint8Array).length
    this.trailers = trailers && encodeFields(lowered(forwardedTrailers(trailers())))
  }

  /** The block before the body. */
  at(wall: number, requestId: string, cors: CorsFields | undefined): Buffer {
    const own = [REQUEST_ID, requestId, ...(cors ? lowered(cors.pairs) : [])]
    return Buffer.concat([this.#at(wall), encodeFields(own)])
  }

  #at(wall: number): Buffer {
    if (wall < this.#from || wall >= this.#until) {
      const { ageMs, ttlMs, until } = timesAt(this.#answer, wall)
      const times = lowered(cacheFields({ kind: 'hit', tier: this.#tier, ageMs, ttlMs }))
      const length = this.trailers ? undefined : this.#length
      const { status } = this.#answer.reply
      this.#block = encodeFields(headFields(status, [...this.#pairs, ...times], { length, now: wall }))
      this.#from = wall
      this.#until = until
    }
    return this.#block
  }
}
