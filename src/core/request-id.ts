/**
 * The id of a call, `X-Request-Id`: what its caller, its backend and the log know it by. It is the caller's own where that is
 * sound, otherwise one of ours.
 */
import { randomBytes } from 'node:crypto'
import { header, type RawPairs } from './call.ts'

/** The field's name in lower case, and as HTTP/1.1 shows it. */
export const REQUEST_ID = 'x-request-id'
export const SHOWN_REQUEST_ID = 'X-Request-Id'

/** Letters, digits and what ids are put together with: an id is written into heads, logs and commands as it is. */
const SOUND = new Uint8Array(128)
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:+/=@-')
  SOUND[character.charCodeAt(0)] = 1
const MAX_LENGTH = 128

/** The id, or the empty string where it is missing or not sound. */
export function soundRequestId(id: string | undefined): string {
  if (id === undefined || id.length > MAX_LENGTH) return ''
  for (let i = 0; i < id.length; i++) if (SOUND[id.charCodeAt(i)] !== 1) return ''
  return id
}

/** The caller's own id, or the empty string. */
export function callersRequestId(headers: RawPairs): string {
  return soundRequestId(header(headers, REQUEST_ID))
}

/** Ids share their first part, which is made again after so many. */
const RUN = 1024
const LAST_DIGITS = Array.from({ length: RUN }, (_, i) => i.toString(32).padStart(2, '0'))

/** Makes the ids of one thread: a random number of its own and a counter, since random bytes for each call would cost too much. */
export class RequestIds {
  readonly #thread = randomBytes(8).toString('hex')
  #run = 0
  #used = RUN
  #first = ''

  next(): string {
    if (this.#used === RUN) {
      this.#first = `${this.#thread}-${(this.#run++).toString(32).padStart(4, '0')}`
      this.#used = 0
    }
    return this.#first + LAST_DIGITS[this.#used++]
  }
}
