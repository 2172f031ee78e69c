/**
 * Reads a JSON document around a long list while it arrives. Each element is parsed by itself, so that no list, however long,
 * blocks the event loop for longer than one piece of it takes; and nesting is bounded before JSON.parse sees it, which takes
 * seconds for a few megabytes of brackets.
 */
import { BufferList } from './buffer-list.ts'

/** No document that is read here nests deeper than ten. */
const MAX_DEPTH = 64

const UTF8 = new TextDecoder('utf-8', { fatal: true })
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

export interface JsonListOptions {
  /** Arrays in so many containers, themselves included, are lists: 1 is the document itself, 2 a member of it, 0 none. */
  readonly depth: number
  /** Most bytes of an element, and of all that is in none. */
  readonly maxBytes: number
  /** Called with each element in its turn. */
  readonly element: (value: unknown) => void
}

export class JsonList {
  readonly #options: JsonListOptions
  /** The document without the elements of its lists. */
  readonly #frame = new BufferList()
  #element = new BufferList()
  /** Elements of the list so far; undefined: outside of a list. */
  #count: number | undefined
  #depth = 0
  #isString = false
  #isEscaped = false

  constructor(options: JsonListOptions) {
    this.#options = options
  }

  /** Takes the next piece. Throws where it cannot be JSON, or is beyond the bounds. */
  push(bytes: Buffer): void {
    let from = 0
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] as number
      if (this.#isString) this.#inString(byte)
      else if (byte === QUOTE) this.#isString = true
      else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
        if (++this.#depth > MAX_DEPTH) throw new SyntaxError(`JSON is nested deeper than ${MAX_DEPTH}`)
        if (byte !== OPEN_ARRAY || this.#depth !== this.#options.depth) continue
        this.#keep(bytes.subarray(from, i + 1))
        this.#count = 0
        from = i + 1
      } else if (byte === COMMA && this.#isBetween) {
        this.#keep(bytes.subarray(from, i))
        this.#next()
        from = i + 1
      } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
        if (this.#isBetween) {
          this.#keep(bytes.subarray(from, i))
          this.#last()
          from = i
        }
        this.#depth--
      }
    }
    this.#keep(bytes.subarray(from))
  }

  /** The document, whose lists are empty. Throws if it is incomplete or no JSON. */
  end(): unknown {
    return parsed(this.#frame)
  }

  /** Between two elements of a list. */
  get #isBetween(): boolean {
    return this.#count !== undefined && this.#depth === this.#options.depth
  }

  #inString(byte: number): void {
    if (this.#isEscaped) this.#isEscaped = false
    else if (byte === BACKSLASH) this.#isEscaped = true
    else if (byte === QUOTE) this.#isString = false
  }

  #keep(bytes: Uint8Array): void {
    const part = this.#count === undefined ? this.#frame : this.#element
    part.push(bytes)
    const { maxBytes } = this.#options
    if (part.length > maxBytes) throw new Error(`a part of the document is larger than ${maxBytes} bytes`)
  }

  #next(): void {
    const value = parsed(this.#element)
    this.#element = new BufferList()
    this.#count = (this.#count ?? 0) + 1
    this.#options.element(value)
  }

  #last(): void {
    const isEmpty = this.#count === 0 && this.#element.joined().toString().trim() === ''
    if (isEmpty) this.#element = new BufferList()
    else this.#next()
    this.#count = undefined
  }
}

function parsed(bytes: BufferList): unknown {
  return JSON.parse(UTF8.decode(bytes.joined()))
}

/** Parses a document in one piece whose nesting is bounded. Throws if it is no JSON, or no UTF-8. */
export function parseJson(bytes: Buffer): unknown {
  const document = new JsonList({ depth: 0, maxBytes: Infinity, element: () => {} })
  document.push(bytes)
  return document.end()
}
