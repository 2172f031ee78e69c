/**
 * Reads the body of a generation in place: its key, what the rules of generation (`rules.ts`) say of it, and in which form
 * its caller wants the answer. Numbers stay lexemes and nothing is decoded; the body is walked over once.
 */
import type { Digest } from '../../../core/key.ts'
import { type JsonProblem, memberDigest, memberPrefix, objectDigest } from '../../json/document.ts'
import { Cursor, type ScanProblem } from '../../json/scan.ts'
import type { Span } from '../../json/span.ts'
import { Preimage } from '../../preimage.ts'
import type { Bypass, Plan, ReadOptions } from '../../protocol.ts'
import { Content } from './content.ts'
import { FLOATS, type GenerationKind, isDelivery, Rules } from './rules.ts'

/** The notes of a plan: what the forms of an answer depend on. */
export interface GenerationNotes {
  readonly kind: GenerationKind
  /** The caller wants events. */
  readonly isStreamed: boolean
  /** The caller wants the usage among its events. */
  readonly wantsUsage: boolean
  /** The caller has bounded the length, so that an answer cut there is what it asked for. */
  readonly isBounded: boolean
  /** The least number of choices that a whole answer has. */
  readonly choices: number
  /** Where the body is changed to ask for the usage; undefined: it need not be. */
  readonly usage: Splice | undefined
}

/** A text that replaces the bytes from `start` up to `end`. */
export interface Splice {
  readonly start: number
  readonly end: number
  readonly text: string
}

export type ReadGenerationOptions = Pick<ReadOptions, 'seed' | 'keepsSampled'>

/** The plan for a body, or why its answer may not be kept. */
export function readGeneration(
  kind: GenerationKind,
  body: Uint8Array,
  { seed, keepsSampled = false }: ReadGenerationOptions,
): Bypass | Plan {
  const prefix = new Preimage().latin1(seed).text('openai').text(kind).digest()
  const reader = new RequestReader(kind, body, prefix)
  const problem = reader.run()
  if (problem !== undefined) return { bypass: problem }
  const bypass = reader.rules.bypass(keepsSampled)
  if (bypass !== undefined) return { bypass }
  const common = reader.notes()
  const { isStreamed, wantsUsage } = common
  const whole = objectDigest(prefix, reader.digests)
  return {
    whole,
    answer: new Preimage()
      .latin1(whole)
      .text(isStreamed ? 'events' : 'json')
      .number(wantsUsage ? 1 : 0)
      .digest(),
    generation: { isStreamed, wantsAll: wantsUsage || kind === 'responses' },
    common,
  }
}

/** The notes of a body, whatever the rules say of its answer; undefined: it cannot be read. */
export function readNotes(kind: GenerationKind, body: Uint8Array): GenerationNotes | undefined {
  const reader = new RequestReader(kind, body, new Preimage().digest())
  return reader.run() === undefined ? reader.notes() : undefined
}

class RequestReader {
  readonly digests = new Map<string, Digest>()
  readonly rules: Rules
  readonly #kind: GenerationKind
  readonly #body: Uint8Array
  readonly #prefix: Digest
  readonly #cursor: Cursor
  #isStreamed = false
  #wantsUsage = false
  #prompts = 1
  /** Behind the last member. */
  #end = 0
  /** Where `include_usage` is, or would be written; undefined: there is no `stream_options`. */
  #usage: Splice | undefined

  constructor(kind: GenerationKind, body: Uint8Array, prefix: Digest) {
    this.rules = new Rules(kind)
    this.#kind = kind
    this.#body = body
    this.#prefix = prefix
    this.#cursor = new Cursor(body)
  }

  /** Walks over the body; why it has no key, if it has none. */
  run(): ScanProblem | undefined {
    const cursor = this.#cursor
    let problem: ScanProblem | undefined
    const isRead = cursor.members((key) => {
      const digest = this.#member(key)
      if (typeof digest === 'object') problem = digest.problem
      else if (digest !== undefined) this.digests.set(key, digest)
      this.#end = cursor.pos
      return cursor.problem === undefined && problem === undefined
    })
    return isRead && cursor.finish() ? undefined : (problem ?? cursor.problem ?? 'unparsable')
  }

  notes(): GenerationNotes {
    const isAsked = this.#isStreamed && !this.#wantsUsage && this.#kind !== 'responses'
    const { isBounded, choices } = this.rules
    return {
      kind: this.#kind,
      isStreamed: this.#isStreamed,
      wantsUsage: this.#wantsUsage,
      isBounded,
      choices: choices * this.#prompts,
      usage: isAsked ? (this.#usage ?? { ...at(this.#end), text: `,"stream_options":${USAGE}` }) : undefined,
    }
  }

  /** Walks over a member's value; its digest, unless it only says how the answer is delivered. */
  #member(key: string): Digest | JsonProblem | undefined {
    if (key === 'stream_options') return this.#streamOptions()
    const start = (this.#cursor.peek(), this.#cursor.pos)
    if (!this.#walk(key)) return undefined
    const span = this.#cursor.span(start)
    const text = this.#textOf(span)
    if (key === 'stream') this.#isStreamed = this.rules.switch(text)
    else this.rules.member(key, text)
    if (isDelivery(this.#kind, key)) return undefined
    const value = FLOATS.has(key) ? Number(text) : Number.NaN
    // 0 and 0.0 are one number to every server, and SDKs write one or the other.
    return Number.isFinite(value) && isNumber(text)
      ? new Preimage().latin1(memberPrefix(this.#prefix, key)).text('number').text(String(value)).digest()
      : memberDigest(this.#prefix, this.#body, { key, span })
  }

  #walk(key: string): boolean {
    const cursor = this.#cursor
    if (key === 'tools') return this.rules.tools(cursor)
    const isContent = key === 'messages' || key === 'input' || key === 'prompt'
    if (!isContent) return cursor.skip()
    const content = new Content(cursor, this.rules)
    const isRead = content.walk()
    if (key === 'prompt') this.#prompts = Math.max(1, content.prompts)
    return isRead
  }

  /** The digest of the options but `include_usage`, which is made of the kept answer; undefined: there are no others. */
  #streamOptions(): Digest | JsonProblem | undefined {
    const cursor = this.#cursor
    const isNull = cursor.peek() !== OPEN_OBJECT
    const start = cursor.pos
    if (isNull) {
      if (!cursor.skip()) return undefined
      if (this.#textOf(cursor.span(start)) !== 'null') this.rules.refuse('stream_options')
      this.#usage = { start, end: cursor.pos, text: USAGE }
      return undefined
    }
    const prefix = memberPrefix(this.#prefix, 'stream_options')
    const others = new Map<string, Digest>()
    let problem: JsonProblem | undefined
    let isEmpty = true
    cursor.members((key) => {
      isEmpty = false
      const value = cursor.value()
      if (!value) return false
      if (key === 'include_usage') {
        this.#wantsUsage = this.rules.switch(this.#textOf(value))
        this.#usage = { start: value.start, end: value.end, text: 'true' }
        return true
      }
      const digest = memberDigest(prefix, this.#body, { key, span: value })
      if (typeof digest === 'string') others.set(key, digest)
      else problem = digest
      return problem === undefined
    })
    this.#usage ??= { ...at(cursor.pos - 1), text: `${isEmpty ? '' : ','}"include_usage":true` }
    if (problem) return problem
    return others.size === 0 ? undefined : objectDigest(prefix, others)
  }

  /** A short value as it is written; a longer one is empty, since no rule asks for it. */
  #textOf({ start, end }: Span): string {
    if (end - start > MAX_TEXT) return ''
    let text = ''
    for (let i = start; i < end; i++) text += String.fromCharCode(this.#body[i] as number)
    return text
  }
}

/** What asks for the usage of a stream. */
const USAGE = '{"include_usage":true}'
const OPEN_OBJECT = 0x7b
const MAX_TEXT = 48

function at(place: number): Omit<Splice, 'text'> {
  return { start: place, end: place }
}

/** Whether a value is written as a number: `Number` also reads quotes away, and empty texts. */
function isNumber(text: string): boolean {
  const first = text.charCodeAt(0)
  return first === 0x2d || (first >= 0x30 && first <= 0x39)
}

/** The body with the change made. */
export function spliced(body: Uint8Array, { start, end, text }: Splice): Uint8Array {
  return Buffer.concat([body.subarray(0, start), Buffer.from(text), body.subarray(end)])
}
