/**
 * A tokenizer of Hugging Face's format, read with their own library, which no other file imports.
 *
 * A tokenizer.json comes with a model from elsewhere. It may name what is not there, or patterns that take exponential time
 * over some texts; neither may hold up or end the process, since its other callers wait behind.
 */
import { createContext, Script } from 'node:vm'
import type { Tokenizer } from '@huggingface/tokenizers'
import { requirePackages } from '../../lib/optional-packages.ts'
import { ModelError, reasonOf } from '../error.ts'
import { recordOf } from './files.ts'

/** Loaded on first use: most model servers have no embedding model. */
function library() {
  requirePackages('tokenizer')
  return import('@huggingface/tokenizers')
}

/** What a call may take to become tokens. */
const LIMIT_MS = 2_000
/** What a tokenizer may take to be read: the largest vocabularies take seconds. */
const OPEN_LIMIT_MS = 60_000
/** Below this, a tokenizer without patterns takes a time in proportion, and is not watched: to watch costs 0.1 ms and more. */
const SHORT_LENGTH = 65_536
/** More tokens than any vocabulary in use has. */
const MAX_TOKENS = 8_000_000

/** Some of them any tokenizer knows, for whichever language it is. */
const PROBES = ['a', 'one two', '7', '词', 'é']

interface TokenizerBounds {
  /** It splits or replaces by regular expressions. */
  readonly hasPatterns: boolean
  readonly limitMs: number
}

export class TextTokenizer {
  /** One more than the highest token. */
  readonly size: number
  /** What it puts before and behind a text. */
  readonly before: readonly number[]
  readonly behind: readonly number[]
  readonly #tokenizer: Tokenizer
  readonly #hasPatterns: boolean
  readonly #limitMs: number

  /** `limitMs`: the longest that a call may take. Throws an Error that says what is wrong with the files. */
  static async open(json: unknown, config: unknown, limitMs = LIMIT_MS): Promise<TextTokenizer> {
    const { Tokenizer: Library } = await library()
    refuseMalformed(json)
    const whole = { added_tokens: [], ...recordOf(json) }
    let tokenizer: Tokenizer
    try {
      tokenizer = limited(OPEN_LIMIT_MS, () => new Library(whole, recordOf(config)))
      return new TextTokenizer(tokenizer, { hasPatterns: JSON.stringify(json).includes('"Regex"'), limitMs })
    } catch (cause) {
      throw new Error(`tokenizer.json cannot be used: ${reasonOf(cause)}`, { cause })
    }
  }

  private constructor(tokenizer: Tokenizer, { hasPatterns, limitMs }: TokenizerBounds) {
    this.#tokenizer = tokenizer
    this.#hasPatterns = hasPatterns
    this.#limitMs = limitMs
    this.size = tokenizer.model?.vocab.length ?? 0
    if (this.size === 0 || this.size > MAX_TOKENS) throw new Error(`it has ${this.size} tokens`)
    const [before, behind] = this.#around()
    this.before = before
    this.behind = behind
  }

  /** The tokens of each text, without those around it. Throws a 400 where a text cannot be written in tokens. */
  tokens(texts: readonly string[]): number[][] {
    const length = texts.reduce((sum, text) => sum + text.length, 0)
    const all = () => texts.map((text) => this.#encode(text, false))
    const isWatched = this.#hasPatterns || length > SHORT_LENGTH
    try {
      return (isWatched ? limited(this.#limitMs, all) : all()).map((ids, i) => this.#checked(ids, i))
    } catch (cause) {
      if (cause instanceof ModelError) throw cause
      throw new ModelError(400, `the tokenizer cannot read the input: ${reasonOf(cause)}`, { cause })
    }
  }

  #encode(text: string, isWhole: boolean): number[] {
    return this.#tokenizer.encode(text, { add_special_tokens: isWhole }).ids
  }

  #checked(ids: number[], i: number): number[] {
    // A tokenizer without a token for what it does not know gives undefined.
    if (ids.every((id) => Number.isInteger(id) && id >= 0 && id < this.size)) return ids
    throw new ModelError(400, `input ${i} has characters that the tokenizer has no token for`)
  }

  /** Found by trying, since each kind of post-processor says it in its own words. */
  #around(): [number[], number[]] {
    for (const probe of PROBES) {
      const [bare, whole] = limited(
        OPEN_LIMIT_MS,
        () => [this.#encode(probe, false), this.#encode(probe, true)] as const,
      )
      if (bare.length === 0 || !bare.every((id) => Number.isInteger(id))) continue
      const at = whole.findIndex((_, i) => bare.every((id, j) => whole[i + j] === id))
      if (at >= 0) return [whole.slice(0, at), whole.slice(at + bare.length)]
      throw new Error('its post-processor does more than to put tokens around a text')
    }
    throw new Error('it has no token for any of some short texts')
  }
}

/** By other models the library would guess. */
const MODELS = new Set<unknown>(['WordPiece', 'BPE', 'Unigram', undefined])

/** What the library takes for granted. */
function refuseMalformed(json: unknown): void {
  const { model, added_tokens: added = [] } = recordOf(json)
  const { type, vocab } = recordOf(model)
  if (!MODELS.has(type))
    throw new Error(
      `tokenizer.json cannot be used: its model is ${String(type)}, not WordPiece, BPE or Unigram`,
    )
  if (typeof vocab !== 'object' || vocab === null)
    throw new Error('tokenizer.json cannot be used: it has no "model" with a "vocab"')
  const isToken = (each: unknown) => {
    const { id, content } = recordOf(each)
    return Number.isInteger(id) && Number(id) >= 0 && Number(id) < MAX_TOKENS && typeof content === 'string'
  }
  if (!Array.isArray(added) || !added.every(isToken))
    throw new Error('tokenizer.json cannot be used: one of its "added_tokens" has no id or content')
  const ids = Array.isArray(vocab) ? [] : Object.values(vocab)
  if (!ids.every((id) => Number.isInteger(id) && Number(id) >= 0 && Number(id) < MAX_TOKENS))
    throw new Error('tokenizer.json cannot be used: one of its tokens has no id')
}

const script = new Script('work()')
const context = createContext({ work: () => undefined })

/** Runs `work`, which is ended when it takes too long: a pattern over a hostile text may take for ever. */
function limited<T>(limitMs: number, work: () => T): T {
  context['work'] = work
  try {
    return script.runInContext(context, { timeout: limitMs }) as T
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
    throw new ModelError(400, `it took longer than ${limitMs / 1000} s to become tokens`, { cause: error })
  } finally {
    context['work'] = undefined
  }
}
