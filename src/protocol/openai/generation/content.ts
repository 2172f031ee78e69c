/**
 * Looks through what a model is asked about for content that the server would fetch, or has kept from another call: what is
 * behind an address or an id may change while the request stays the same.
 */
import type { Cursor } from '../../json/scan.ts'
import { type Rules, wordOf } from './rules.ts'

const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b
const QUOTE = 0x22
/** Of `null`. */
const SMALL_N = 0x6e
/** Of an address that is the content itself (RFC 2397). */
const DATA = Buffer.from('"data:')
/** Members with an address, besides those that end so. */
const ADDRESSED: ReadonlySet<string> = new Set(['url', 'image', 'video'])
/** Members by which content that the server has kept is named. */
const KEPT: ReadonlySet<string> = new Set(['file_id', 'audio'])
/** Members that say nothing of what an item is. */
const NAMING: ReadonlySet<string> = new Set(['id', 'type', 'status'])

export class Content {
  /** Texts and lists in the outermost list: the prompts, where it is one of those. */
  prompts = 0
  #depth = 0
  readonly #cursor: Cursor
  readonly #rules: Rules

  constructor(cursor: Cursor, rules: Rules) {
    this.#cursor = cursor
    this.#rules = rules
  }

  /** Walks over a value: a text, tokens, or messages made of parts. False on a problem. */
  walk(): boolean {
    const cursor = this.#cursor
    const first = cursor.peek()
    if (first === OPEN_OBJECT) return this.#object()
    return first === OPEN_ARRAY ? this.#elements() : cursor.skip()
  }

  #elements(): boolean {
    const cursor = this.#cursor
    const isOutermost = this.#depth === 0
    this.#depth++
    const isRead = cursor.elements(() => {
      const first = cursor.peek()
      if (isOutermost && (first === QUOTE || isContainer(first))) this.prompts++
      // Prompts of tokens are long lists of numbers.
      return isContainer(first) ? this.walk() : cursor.skip()
    })
    this.#depth--
    return isRead
  }

  /** An item of which nothing is said but its id is one that the server has kept. */
  #object(): boolean {
    const cursor = this.#cursor
    let hasId = false
    let hasMore = false
    this.#depth++
    const isRead = cursor.members((key) => {
      const isNull = cursor.peek() === SMALL_N
      if (key === 'id') hasId ||= !isNull
      else if (!NAMING.has(key)) hasMore ||= !isNull
      return this.#member(key)
    })
    this.#depth--
    if (hasId && !hasMore) this.#rules.refuse('stateful')
    return isRead
  }

  #member(key: string): boolean {
    const cursor = this.#cursor
    const first = cursor.peek()
    if (isContainer(first) && !KEPT.has(key)) return this.walk()
    const value = cursor.value()
    if (!value) return false
    if (ADDRESSED.has(key) || key.endsWith('_url')) {
      // Without an address the server takes what it has under another name.
      if (first !== QUOTE || !beginsWith(cursor, value.start, DATA)) this.#rules.refuse('remote content')
    } else if (KEPT.has(key)) {
      if (wordOf(cursor, value) !== 'null') this.#rules.refuse('stateful')
    } else if (key === 'type' && wordOf(cursor, value) === '"item_reference"') this.#rules.refuse('stateful')
    return true
  }
}

function isContainer(first: number): boolean {
  return first === OPEN_OBJECT || first === OPEN_ARRAY
}

function beginsWith({ bytes }: Cursor, at: number, start: Uint8Array): boolean {
  for (let i = 0; i < start.length; i++) if (bytes[at + i] !== start[i]) return false
  return true
}
