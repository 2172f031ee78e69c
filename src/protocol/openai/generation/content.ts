/**
 * Looks through what a model is asked about for content that the server would fetch, or has kept from another call: what is
 * behind an address or an id may change while the request stays the same.
 */
import type { Cursor } from '../../json/scan.ts'
import { type Rules, wordOf } from './rules.ts'

const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b
const QUOTE = 0x22
/** Of an address that is the content itself (RFC 2397). */
const DATA = Buffer.from('"data:')
/** Members with an address, besides those that end so. */
const ADDRESSED: ReadonlySet<string> = new Set(['url', 'image', 'video'])
/** Members by which content that the server has kept is named. */
const KEPT: ReadonlySet<string> = new Set(['file_id', 'audio'])

export class Content {
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
    if (first === OPEN_OBJECT) return cursor.members((key) => this.#member(key))
    return first === OPEN_ARRAY ? this.#elements() : cursor.skip()
  }

  #elements(): boolean {
    const cursor = this.#cursor
    // Prompts of tokens are long lists of numbers.
    return cursor.elements(() => (isContainer(cursor.peek()) ? this.walk() : cursor.skip()))
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
