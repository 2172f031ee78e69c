/**
 * A JSON parser that reads numbers without loss, as TensorFlow Serving does.
 *
 * `JSON.parse` rounds integers beyond 2^53, cannot tell `1` from `1.0`, takes the last of two equal keys, and refuses
 * the NaN and Infinity tokens that TensorFlow Serving writes and reads. A model server must get all four right.
 */
import { ModelError } from './error.ts'

/** A number written with a fraction or an exponent whose value is whole: `1.0` is not an integer literal. */
export class Decimal {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}

/** Integers beyond 2^53 are bigint. Objects are maps, in which the first of two equal keys wins. */
export type JsonValue = null | boolean | number | bigint | string | Decimal | JsonValue[] | JsonObject
export type JsonObject = ReadonlyMap<string, JsonValue>

const MAX_DEPTH = 100
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
const TOKEN = /true|false|null|[+-]?(?:Infinity|Inf)|NaN/y
const SPACE = /[ \t\n\r]*/y
/** What a string may have that is not to be taken as it is. */
const SPECIAL = /[\\\p{Cc}]/u

const TOKENS: Readonly<Record<string, JsonValue>> = {
  true: true,
  false: false,
  null: null,
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  Inf: Number.POSITIVE_INFINITY,
  '+Infinity': Number.POSITIVE_INFINITY,
  '+Inf': Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
  '-Inf': Number.NEGATIVE_INFINITY,
}

/** Throws a 400 that names the byte (UTF-16 unit) at which the text stops being JSON. */
export function readJson(text: string): JsonValue {
  const reader = new JsonReader(text)
  const value = reader.value(0)
  reader.end()
  return value
}

class JsonReader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw new ModelError(400, `JSON is nested deeper than ${MAX_DEPTH} levels`)
    this.#skip()
    switch (this.#text.charCodeAt(this.#at)) {
      case 0x22:
        return this.#string()
      case 0x5b:
        return this.#array(depth)
      case 0x7b:
        return this.#object(depth)
      default:
        return this.#number() ?? this.#token()
    }
  }

  end(): void {
    this.#skip()
    if (this.#at < this.#text.length) this.#fail('nothing more was expected')
  }

  #fail(why: string): never {
    const found = this.#at < this.#text.length ? JSON.stringify(this.#text[this.#at]) : 'the end'
    throw new ModelError(400, `the body is not JSON: at position ${this.#at}, ${found}: ${why}`)
  }

  #skip(): void {
    // Most values follow a comma or bracket directly or after one space: the regular expression is for the rest.
    if (this.#text.charCodeAt(this.#at) > 0x20) return
    SPACE.lastIndex = this.#at
    SPACE.test(this.#text)
    this.#at = SPACE.lastIndex
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    if (!pattern.test(this.#text)) return undefined
    const start = this.#at
    this.#at = pattern.lastIndex
    return this.#text.slice(start, this.#at)
  }

  /** Takes the one character when it is next. */
  #is(character: string): boolean {
    this.#skip()
    if (this.#text[this.#at] !== character) return false
    this.#at += 1
    return true
  }

  #string(): string {
    const start = this.#at
    let end = this.#text.indexOf('"', start + 1)
    while (end !== -1 && this.#isEscaped(end)) end = this.#text.indexOf('"', end + 1)
    if (end === -1) this.#fail('a string that is never closed')
    this.#at = end + 1
    const plain = this.#text.slice(start + 1, end)
    // Looked for instead of matched to the end: a repeated match takes the engine's stack, and a string may have 60 MB.
    if (!SPECIAL.test(plain)) return plain
    try {
      return JSON.parse(this.#text.slice(start, end + 1)) as string
    } catch {
      this.#at = start
      return this.#fail('a string with a bad escape or a control character')
    }
  }

  /** An odd number of backslashes before a quote means that it belongs to the string. */
  #isEscaped(quote: number): boolean {
    let at = quote - 1
    while (this.#text[at] === '\\') at -= 1
    return (quote - at) % 2 === 0
  }

  /** Up to nine digits and nothing else, which is what pixels, tokens and ids are; undefined for any other number. */
  #smallInteger(): number | undefined {
    let at = this.#at
    let value = 0
    for (; at < this.#at + 10; at += 1) {
      const digit = this.#text.charCodeAt(at) - 0x30
      if (!(digit >= 0 && digit <= 9)) break
      value = value * 10 + digit
    }
    const length = at - this.#at
    if (length === 0 || length > 9 || (length > 1 && this.#text.charCodeAt(this.#at) === 0x30))
      return undefined
    // A fraction or an exponent follows.
    const next = this.#text.charCodeAt(at) | 0x20
    if (next === 0x2e || next === 0x65) return undefined
    this.#at = at
    return value
  }

  #number(): JsonValue | undefined {
    const first = this.#text.charCodeAt(this.#at)
    if (!(first === 0x2d || (first >= 0x30 && first <= 0x39))) return undefined
    const small = this.#smallInteger()
    if (small !== undefined) return small
    NUMBER.lastIndex = this.#at
    const found = NUMBER.exec(this.#text)
    if (!found) return undefined
    const value = Number(found[0])
    if (!Number.isFinite(value)) this.#fail('a number too large to be read')
    this.#at = NUMBER.lastIndex
    // Reading a million digits into a bigint takes seconds, and no integer datatype has more than 20.
    if (found[1] === undefined && found[2] === undefined && found[0].length <= 40) {
      return Number.isSafeInteger(value) ? value : BigInt(found[0])
    }
    return Number.isInteger(value) ? new Decimal(value) : value
  }

  #token(): JsonValue {
    const token = this.#take(TOKEN)
    if (token === undefined) return this.#fail('a value was expected')
    return TOKENS[token] ?? null
  }

  #array(depth: number): JsonValue[] {
    this.#at += 1
    const items: JsonValue[] = []
    if (this.#is(']')) return items
    do items.push(this.value(depth + 1))
    while (this.#is(','))
    if (!this.#is(']')) this.#fail('"," or "]" was expected')
    return items
  }

  #object(depth: number): JsonObject {
    this.#at += 1
    const members = new Map<string, JsonValue>()
    if (this.#is('}')) return members
    do {
      this.#skip()
      if (this.#text[this.#at] !== '"') this.#fail('a member name in double quotes was expected')
      const name = this.#string()
      if (!this.#is(':')) this.#fail('":" was expected')
      const value = this.value(depth + 1)
      if (!members.has(name)) members.set(name, value)
    } while (this.#is(','))
    if (!this.#is('}')) this.#fail('"," or "}" was expected')
    return members
  }
}
