/** Draws keys by Zipf's law and keeps the questions that come often. */
import type { Question, Questioner } from './question.ts'
import { zipf } from './zipf.ts'

export interface DrawOptions {
  /** How many different questions there are. */
  readonly keys: number
  /** Of Zipf's law: 0 draws all alike. */
  readonly exponent: number
  readonly seed: number
}

/** Bytes of bodies that are kept; further questions are made anew each time. */
const MAX_KEPT_BYTES = 128 * 1024 * 1024
/** What a kept question takes besides its body. */
const OVERHEAD_BYTES = 256

export class QuestionSource {
  readonly #ask: Questioner
  readonly #draw: () => number
  readonly #kept = new Map<number, Question>()
  #bytes = 0

  constructor(ask: Questioner, options: DrawOptions) {
    this.#ask = ask
    this.#draw = zipf(options)
  }

  next(): Question {
    const key = this.#draw()
    const known = this.#kept.get(key)
    if (known) return known
    const made = this.#ask(key)
    const bytes = OVERHEAD_BYTES + (made.body?.length ?? 0)
    if (this.#bytes + bytes <= MAX_KEPT_BYTES) {
      this.#kept.set(key, made)
      this.#bytes += bytes
    }
    return made
  }
}
