/**
 * Blanks the volatile values of a request's head: ids for traces and logs, deadlines, which a client writes anew for each call.
 * No decision about a head depends on these fields, so two heads that are equal with blanks are decided alike. Everything
 * else is unchanged, names, lengths and line ends included.
 */
import { SDK_FIELDS, TRACING_FIELDS } from '../../../core/fields.ts'
import { REQUEST_ID, soundRequestId } from '../../../core/request-id.ts'
import { TRACEPARENT } from '../../../core/trace-context.ts'
import { Scratch } from '../../../lib/scratch.ts'
import { DEADLINE_FIELDS } from '../../http/deadlines.ts'
import { isName } from './head.ts'

/** Only so many bytes of a request are compared; a longer one is cut here. */
const MAX_BYTES = 2048
/** A head with more of these fields is not blanked. */
const MAX_VALUES = 32
const MAX_NAME = 64

const LF = 10
const CR = 13
const SPACE = 32
const DELETE = 127
const COLON = 58

/** Fields that may differ with each call of a client, and on which no decision about its head depends. */
export const VOLATILE_FIELDS: readonly string[] = [
  ...TRACING_FIELDS,
  ...DEADLINE_FIELDS,
  ...SDK_FIELDS,
  'date',
  'idempotency-key',
  'x-request-timeout',
]

const ID_NAME = Buffer.from(REQUEST_ID)
const TRACE_NAME = Buffer.from(TRACEPARENT)
/** Their values are asked for. */
const FOUND = [ID_NAME, TRACE_NAME]

export class VolatileFields {
  /** The names by length and first letter, which rule out most fields of most heads. */
  readonly #names: (Buffer[] | undefined)[] = new Array(MAX_NAME * 32)
  readonly #scratch = new Scratch(MAX_BYTES)
  /** The positions of the volatile values in the present head: two offsets a value. */
  readonly #values = new Int32Array(MAX_VALUES * 2)
  /** Which of them is the first request id, and which the first traceparent; -1: none. */
  #requestId = -1
  #traceparent = -1

  /** `used`: the fields that routes and keys depend on, which must not be blanked. */
  constructor(used: ReadonlySet<string>) {
    for (const text of VOLATILE_FIELDS) {
      if (used.has(text)) continue
      const name = FOUND.find((one) => one.equals(Buffer.from(text))) ?? Buffer.from(text)
      const of = (this.#names[shapeOf(name, 0, name.length)] ??= [])
      of.push(name)
    }
  }

  /** The blanked bytes, valid until the next call; `bytes` itself if there is nothing to blank or the head is incomplete. */
  blanked(bytes: Buffer): Buffer {
    this.#requestId = -1
    this.#traceparent = -1
    const end = Math.min(bytes.length, MAX_BYTES)
    const count = this.#find(bytes, end)
    if (count === 0) return bytes
    const { bytes: blank } = this.#scratch
    bytes.copy(blank, 0, 0, end)
    for (let i = 0; i < count; i++) blank.fill(SPACE, this.#values[i * 2], this.#values[i * 2 + 1])
    return this.#scratch.view(end)
  }

  /** The request id in the head that was blanked last, or the empty string if it is not sound; undefined: it has none. */
  requestIdOf(bytes: Buffer): string | undefined {
    const id = this.#valueOf(bytes, this.#requestId)
    return id === undefined ? undefined : soundRequestId(id)
  }

  /** The traceparent in that head; undefined: it has none. */
  traceparentOf(bytes: Buffer): string | undefined {
    return this.#valueOf(bytes, this.#traceparent)
  }

  #valueOf(bytes: Buffer, index: number): string | undefined {
    if (index < 0) return undefined
    let start = this.#values[index * 2] as number
    let end = this.#values[index * 2 + 1] as number
    while (start < end && bytes[start] === SPACE) start++
    while (start < end && bytes[end - 1] === SPACE) end--
    return bytes.toString('latin1', start, end)
  }

  /**
   * Finds the volatile values, and returns how many there are. A value is everything between the colon and the end of the
   * line, and only characters of a plain head (`readField`): so a head that is plain with blanks was plain without them.
   */
  #find(bytes: Buffer, end: number): number {
    let count = 0
    let at = 0
    while (at < end && bytes[at] !== LF) at++
    for (at++; at < end && bytes[at] !== CR; at += 2) {
      const start = at
      while (at < end && bytes[at] !== COLON && bytes[at] !== CR) at++
      const name = bytes[at] === COLON ? this.#volatileName(bytes, start, at) : undefined
      if (name) {
        if (count === MAX_VALUES) return 0
        this.#note(name, count)
        this.#values[count * 2] = ++at
        while (at < end && (bytes[at] as number) >= SPACE && (bytes[at] as number) < DELETE) at++
        this.#values[count * 2 + 1] = at
        if (bytes[at] !== CR) return 0
        count++
      } else {
        while (at < end && bytes[at] !== CR) at++
      }
    }
    return at < end ? count : 0
  }

  /** Notes where the values are that are asked for. */
  #note(name: Buffer, at: number): void {
    if (name === ID_NAME && this.#requestId < 0) this.#requestId = at
    if (name === TRACE_NAME && this.#traceparent < 0) this.#traceparent = at
  }

  #volatileName(bytes: Buffer, start: number, end: number): Buffer | undefined {
    if (end === start || end - start >= MAX_NAME) return undefined
    const names = this.#names[shapeOf(bytes, start, end)]
    if (names === undefined) return undefined
    for (let i = 0; i < names.length; i++) if (isName(bytes, start, end, names[i] as Buffer)) return names[i]
    return undefined
  }
}

/** A table index from length and first letter; the five low bits of an ASCII letter are the same in both cases. */
function shapeOf(bytes: Buffer, start: number, end: number): number {
  return (end - start) * 32 + ((bytes[start] as number) & 31)
}
