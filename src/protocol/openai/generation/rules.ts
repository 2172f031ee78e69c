/**
 * The rules of generation: whose answer may be kept. It is one that the same request would give again, and that depends on
 * nothing but the request: greedy decoding, written out, no tool that the server runs, no state of the server's, and no
 * content that the server fetches from elsewhere.
 */
import type { Cursor } from '../../json/scan.ts'
import type { Stretch } from '../../json/span.ts'
import { keyText } from '../../json/string.ts'

/** What is generated: a chat's next message, the rest of a text, or a response. */
export type GenerationKind = 'chat' | 'completions' | 'responses'

/** Members that say how and how soon an answer is delivered, and nothing of what is in it. */
const DELIVERY: ReadonlySet<string> = new Set(['priority', 'request_id', 'stream'])

/** Members that say for whom it is; a response repeats them, so that it is another for each of them. */
const REPEATED: ReadonlySet<string> = new Set([
  'metadata',
  'prompt_cache_key',
  'prompt_cache_retention',
  'safety_identifier',
  'service_tier',
  'user',
])

/** Whether no answer to such a request depends on the member. */
export function isDelivery(kind: GenerationKind, key: string): boolean {
  return DELIVERY.has(key) || (kind !== 'responses' && REPEATED.has(key))
}

/** Members that every server reads as a floating-point number, so that keys have them by value. */
export const FLOATS: ReadonlySet<string> = new Set([
  'frequency_penalty',
  'length_penalty',
  'min_p',
  'presence_penalty',
  'repetition_penalty',
  'temperature',
  'top_p',
])

/** Members with the most tokens that an answer may have. */
export const BOUNDS: ReadonlySet<string> = new Set([
  'max_tokens',
  'max_completion_tokens',
  'max_output_tokens',
])

/** Members that make an answer depend on more than the request, unless they are null, with the word for Cache-Status. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ['audio', 'audio'],
  ['conversation', 'stateful'],
  ['kv_transfer_params', 'stateful'],
  ['mcp_servers', 'server tools'],
  ['previous_response_id', 'stateful'],
  ['search_parameters', 'server tools'],
  ['web_search_options', 'server tools'],
])

/** Tools that the client runs. */
const CLIENT_TOOLS: ReadonlySet<string> = new Set(['"function"', '"custom"'])

/** Collects what a body says, member by member. Values come as they are written. */
export class Rules {
  isBounded = false
  choices = 1
  readonly #kind: GenerationKind
  #isGreedy = false
  #store = ''
  #refusal: string | undefined

  constructor(kind: GenerationKind) {
    this.#kind = kind
  }

  /** Why the answer may not be kept; undefined: it may. */
  bypass(keepsSampled: boolean): string | undefined {
    if (this.#refusal !== undefined) return this.#refusal
    // Responses are stored by the server unless the call says otherwise.
    if (this.#kind === 'responses' && this.#store !== 'false') return 'stateful'
    return this.#isGreedy || keepsSampled ? undefined : 'sampled'
  }

  /** The first reason counts. */
  refuse(reason: string): void {
    this.#refusal ??= reason
  }

  member(key: string, text: string): void {
    // Left out, the temperature is 1; `seed` is no more than the server's best effort.
    if (key === 'temperature') this.#isGreedy ||= isZero(text)
    else if (key === 'top_k') this.#isGreedy ||= text === '1'
    else if (BOUNDS.has(key)) this.isBounded ||= /^[1-9]\d*$/.test(text)
    else if (key === 'n') this.choices = /^[1-9]\d{0,3}$/.test(text) ? Number(text) : 1
    else if (key === 'store') this.#stored(text)
    else if (key === 'background') this.#onlyFalse(text, 'stateful')
    else if (key === 'modalities') this.#onlyText(text)
    // A template that is kept by the server, in place of a text.
    else if (key === 'prompt' && this.#kind === 'responses') this.#onlyNull(text, 'stateful')
    else {
      const reason = REFUSED.get(key)
      if (reason !== undefined) this.#onlyNull(text, reason)
    }
  }

  /** A member that is true, or false, or null. Servers read other values in ways of their own. */
  switch(text: string): boolean {
    if (text !== 'true' && text !== 'false' && text !== 'null') this.refuse('unclear')
    return text === 'true'
  }

  /** Walks over the list of tools. */
  tools(cursor: Cursor): boolean {
    if (cursor.peek() !== OPEN_ARRAY) return cursor.skip()
    return cursor.elements(() => {
      if (cursor.peek() !== OPEN_OBJECT) return cursor.skip()
      let type = ''
      const isRead = cursor.members((key) => {
        const value = cursor.value()
        if (value && key === 'type') type = wordOf(cursor, value)
        return value !== undefined
      })
      if (!CLIENT_TOOLS.has(type)) this.refuse('server tools')
      return isRead
    })
  }

  #stored(text: string): void {
    this.#store = text
    this.#onlyFalse(text, 'stateful')
  }

  #onlyFalse(text: string, reason: string): void {
    if (text !== 'false') this.#onlyNull(text, reason)
  }

  #onlyNull(text: string, reason: string): void {
    if (text !== 'null') this.refuse(reason)
  }

  #onlyText(text: string): void {
    if (!/^(?:null|\[\s*"text"\s*\])$/.test(text)) this.refuse('modalities')
  }
}

const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b
const QUOTE = 0x22

/** Zero, however it is written. */
function isZero(text: string): boolean {
  return /^-?0(?:\.0+)?(?:[eE][+-]?\d+)?$/.test(text)
}

/** A short value in its canonical spelling, one character a byte. */
export function wordOf({ bytes }: Cursor, { start, end }: Stretch): string {
  if (bytes[start] === QUOTE) return `"${keyText(bytes, start + 1, end - 1)}"`
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}
