/**
 * Follows the events of a stream: whether they are a whole answer, as the rules of generation have it, how many tokens the
 * server says it took, and what of them is for those alone who asked for the usage.
 */

import type { TokenCounts } from '../../../core/reply.ts'
import { eventsIn, type ReadEvent } from '../../../lib/sse-reader.ts'
import { Cursor } from '../../json/scan.ts'
import type { EventFollower } from '../../protocol.ts'
import type { GenerationNotes } from './request.ts'
import { tokensOf } from './usage.ts'

/** With it streams of chats and texts end. */
export const DONE = '[DONE]'

/** The reasons for which a choice is over. Whatever else ends one (a filter, a lack of resources) may not do so again. */
const GOOD_ENDINGS: ReadonlySet<unknown> = new Set(['stop', 'tool_calls', 'function_call'])

/** Whether a choice ended as it would end again. */
export function isGoodEnding(reason: unknown, { isBounded }: Pick<GenerationNotes, 'isBounded'>): boolean {
  return GOOD_ENDINGS.has(reason) || (reason === 'length' && isBounded)
}

/** Whether a response is over, and as it would be again. */
export function isGoodResponse(
  response: unknown,
  { isBounded }: Pick<GenerationNotes, 'isBounded'>,
): boolean {
  const { status, error, incomplete_details } = response as Record<string, unknown>
  if (error !== undefined && error !== null) return false
  if (status === 'completed') return true
  const reason = (incomplete_details as { reason?: unknown } | null | undefined)?.reason
  return status === 'incomplete' && isBounded && reason === 'max_output_tokens'
}

export class StreamFollower implements EventFollower {
  tokens: TokenCounts | undefined
  generated = 0
  readonly #notes: GenerationNotes
  /** By the index of a choice, whether it has ended well. */
  readonly #endings = new Map<unknown, boolean>()
  #isOver = false
  #isSpoiled = false
  /** The last event was replaced, and ended with CR: an LF that comes with the next piece is the other half of its end. */
  #isFeedOwed = false

  constructor(notes: GenerationNotes) {
    this.#notes = notes
  }

  get isWhole(): boolean {
    if (!this.#isOver || this.#isSpoiled) return false
    if (this.#isResponse) return true
    const endings = [...this.#endings.values()]
    return endings.length >= this.#notes.choices && endings.every(Boolean)
  }

  push(events: Uint8Array): Uint8Array {
    const text = Buffer.from(events.buffer, events.byteOffset, events.length).toString()
    let shown = ''
    let from = this.#isFeedOwed && text.startsWith('\n') ? 1 : 0
    for (const event of eventsIn(text)) {
      const other = this.#event(event)
      if (other === undefined) continue
      shown += text.slice(from, event.start) + other
      from = event.end
    }
    this.#isFeedOwed = from === text.length && text.endsWith('\r')
    return from === 0 ? events : Buffer.from(shown + text.slice(from))
  }

  /** What stands in the place of the event for callers who did not ask for the usage; undefined: the event itself. */
  #event(event: ReadEvent): string | undefined {
    const { data } = event
    const isMark = data === DONE
    // Nothing comes behind the end, but for a mark that some servers put behind a response as well.
    if (this.#isOver && !(isMark && this.#isResponse)) this.#isSpoiled = true
    if (isMark) {
      this.#isOver ||= !this.#isResponse
      return undefined
    }
    const said = parsed(data)
    if (!said || isError(said) || event.event === 'error') this.#isSpoiled = true
    if (!said) return undefined
    if (this.#isResponse) return this.#response(said)
    this.#chunk(said)
    // Also where the first caller asks for it: whoever joins may not.
    return withheld(said, event)
  }

  get #isResponse(): boolean {
    return this.#notes.kind === 'responses'
  }

  #response({ type, response }: Members): undefined {
    if (typeof type === 'string' && type.endsWith('.delta')) this.generated++
    if (type === 'error' || type === 'response.failed' || type === 'response.cancelled')
      this.#isSpoiled = true
    if (type !== 'response.completed' && type !== 'response.incomplete') return
    this.#isOver = true
    this.tokens = tokensOf(response)
    if (!isMembers(response) || !isGoodResponse(response, this.#notes)) this.#isSpoiled = true
  }

  #chunk(said: Members): void {
    const { choices, usage } = said
    if (Array.isArray(choices)) for (const part of choices) this.#choice(part)
    if (says(usage)) this.tokens = tokensOf(said) ?? this.tokens
  }

  #choice(part: unknown): void {
    if (!isMembers(part)) return
    const { index = 0, finish_reason } = part
    const ending = says(finish_reason)
      ? isGoodEnding(finish_reason, this.#notes)
      : (this.#endings.get(index) ?? false)
    this.#endings.set(index, ending)
    this.generated++
  }
}

type Members = Readonly<Record<string, unknown>>

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function says(value: unknown): boolean {
  return value !== undefined && value !== null
}

/** As OpenAI has it, and as vLLM had it before. */
function isError({ error, object }: Members): boolean {
  return says(error) || object === 'error'
}

function parsed(data: string): Members | undefined {
  try {
    const value: unknown = JSON.parse(data)
    return isMembers(value) ? value : undefined
  } catch {
    return undefined
  }
}

/**
 * An empty usage where servers write it: as the last member of a chunk, or before its padding. The quotes of a string's text are
 * escaped, so that this is a member; what is behind it shows that it is one of the chunk itself.
 */
const EMPTY_USAGE = /,"usage":null(?=\}\r?\n|,"obfuscation":")/g

/** The events of a text as callers get them who did not ask for the usage. */
export function withoutUsage(all: string): string {
  const text = all.replace(EMPTY_USAGE, '')
  const at = text.indexOf('"usage"')
  if (at < 0) return text
  // Mostly the last event alone has one.
  const begin = text.lastIndexOf('\n\n', at) + 2
  let shown = begin < 2 ? '' : text.slice(0, begin)
  let from = begin < 2 ? 0 : begin
  const rest = text.slice(from)
  const offset = from
  for (const event of eventsIn(rest)) {
    const said = event.data.includes('"usage"') ? parsed(event.data) : undefined
    const shownEvent = said && withheld(said, event)
    if (shownEvent === undefined) continue
    shown += text.slice(from, offset + event.start) + shownEvent
    from = offset + event.end
  }
  return shown + text.slice(from)
}

/** What stands in the place of a chunk for callers who did not ask for the usage; undefined: the chunk itself. */
function withheld({ choices, usage }: Members, event: ReadEvent): string | undefined {
  if (usage === null) return withoutMember(event)
  // Beside a choice it is the server's own habit, and says what so far was generated.
  const isAlone = usage !== undefined && (!Array.isArray(choices) || choices.length === 0)
  return isAlone ? '' : undefined
}

/** The event without its member `usage`, which servers put into each chunk where they are asked for the usage at the end. */
function withoutMember({ event, data }: ReadEvent): string {
  const bytes = Buffer.from(data)
  const cursor = new Cursor(bytes)
  cursor.peek()
  const open = cursor.pos + 1
  let last = open
  let from = open
  let end = open
  cursor.members((key) => {
    if (!cursor.skip()) return false
    if (key === 'usage') [from, end] = [last, cursor.pos]
    last = cursor.pos
    return true
  })
  const behind = bytes.subarray(end).toString()
  const left = bytes.subarray(0, from).toString() + (from === open ? behind.replace(/^\s*,/, '') : behind)
  const lines = left.split('\n').map((line) => `data: ${line}\n`)
  return `${event === '' ? '' : `event: ${event}\n`}${lines.join('')}\n`
}
