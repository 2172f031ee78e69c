/** Reads an answer that a model writes, as OpenAI's API has them: when its first token came, the time between tokens, how many there were. */
import { EventSplitter, eventsIn } from '../lib/sse-reader.ts'
import type { WrittenTimes } from './tally.ts'

/** Of an answer in one piece, and of an event, which is a token with its frame or a whole answer. */
export const MAX_ANSWER_BYTES = 16 * 1024 * 1024

export class WrittenAnswer {
  readonly #splitter = new EventSplitter(MAX_ANSWER_BYTES)
  readonly #beganMs: number
  #firstUs: number | undefined
  #lastMs = 0
  readonly #betweenUs: number[] = []
  #events = 0
  #usage: number | undefined
  #hasError = false

  /** `beganMs`: monotonic milliseconds from which the call counts. */
  constructor(beganMs: number) {
    this.#beganMs = beganMs
  }

  /** An event said that the model has failed, or the stream holds no events. */
  get hasError(): boolean {
    return this.#hasError
  }

  push(piece: Uint8Array, nowMs: number): void {
    const complete = this.#splitter.push(piece)
    if (!complete) return
    for (const { data } of eventsIn(Buffer.from(complete).toString('utf8'))) this.#event(data, nowMs)
  }

  times(): WrittenTimes {
    return { firstUs: this.#firstUs, betweenUs: this.#betweenUs, tokens: this.#usage ?? this.#events }
  }

  #event(data: string, nowMs: number): void {
    if (data === '[DONE]') return
    const event = parsed(data)
    if (event?.error !== undefined || event === undefined) this.#hasError = true
    this.#usage = event?.usage?.completion_tokens ?? this.#usage
    if (!event?.choices?.some(hasText)) return
    this.#events++
    if (this.#firstUs === undefined) this.#firstUs = (nowMs - this.#beganMs) * 1000
    else this.#betweenUs.push((nowMs - this.#lastMs) * 1000)
    this.#lastMs = nowMs
  }
}

/** The output tokens that an answer in one piece says; 0: it does not say. */
export function tokensOf(body: Uint8Array): number {
  return parsed(Buffer.from(body).toString('utf8'))?.usage?.completion_tokens ?? 0
}

interface Choice {
  readonly text?: string
  readonly delta?: Readonly<Record<string, unknown>>
}

interface ModelEvent {
  readonly error?: unknown
  readonly choices?: readonly Choice[]
  readonly usage?: { readonly completion_tokens?: number } | null
}

/** Whatever the model writes: text, reasoning, arguments of tools. The role comes before it and is no token. */
function hasText({ text, delta = {} }: Choice): boolean {
  if (text !== undefined) return text !== ''
  return Object.entries(delta).some(([name, value]) => name !== 'role' && value !== '' && value !== null)
}

function parsed(text: string): ModelEvent | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
