/**
 * Finds the model that a body names: the string under `model` of its top-level object. Every call's route depends on it, so
 * the body is scanned and not parsed. A body that names two has none, since servers differ in which of them they take.
 */
import type { Chunks } from '../../core/chunks.ts'
import { BACKSLASH, COLON, COMMA, OPEN_ARRAY, OPEN_OBJECT, QUOTE } from '../json/bytes.ts'
import { STRING_STOP } from '../json/scan.ts'
import type { NamedModel } from '../protocol.ts'

/** The longest key or name that is looked at, as it is written. */
const MAX_NAME_BYTES = 1024

export function namedModel(body: Uint8Array): NamedModel | undefined {
  const scan = new ModelScan()
  scan.push(body)
  return scan.found
}

/** The same of a long body, with a pause after each piece. */
export function* namedModelSteps(body: Chunks): Generator<void, NamedModel | undefined> {
  const scan = new ModelScan()
  for (const piece of body.pieces()) {
    scan.push(piece)
    yield
  }
  return scan.found
}

const KEY = 0
const VALUE = 1

class ModelScan {
  #depth = 0
  /** What comes next in the top-level object. */
  #next = KEY
  #inString = false
  #isEscaped = false
  /** The string that is read is a key of the top-level object, or the name. */
  #isKept = false
  #text = ''
  /** The key read last is `model`. */
  #isModel = false
  #names = 0
  #name: string | undefined

  get found(): NamedModel | undefined {
    return this.#names === 1 && this.#name !== undefined ? { model: this.#name } : undefined
  }

  push(piece: Uint8Array): void {
    for (let i = 0; i < piece.length; )
      i = this.#inString ? this.#string(piece, i) : this.#structure(piece, i)
  }

  /** Reads between strings; returns the index behind what was read. */
  #structure(piece: Uint8Array, from: number): number {
    for (let i = from; i < piece.length; i++) {
      const c = piece[i] as number
      if (c === QUOTE) {
        const end = stringEnd(piece, i + 1)
        // Most strings lie in one piece, and need no decoding.
        if (end > 0) {
          if (this.#depth === 1) this.#plain(piece, i + 1, end)
          i = end
          continue
        }
        this.#inString = true
        this.#text = ''
        this.#isKept = this.#depth === 1 && (this.#next === KEY || this.#isModel)
        return i + 1
      }
      if (c === OPEN_ARRAY || c === OPEN_OBJECT) {
        if (++this.#depth === 1) this.#next = KEY
      } else if (c === OPEN_ARRAY + 2 || c === OPEN_OBJECT + 2) this.#depth--
      else if (this.#depth !== 1) continue
      else if (c === COLON) this.#next = VALUE
      else if (c === COMMA) {
        this.#next = KEY
        this.#isModel = false
      }
    }
    return piece.length
  }

  /** A string in the top-level object, without escapes. */
  #plain(piece: Uint8Array, start: number, end: number): void {
    if (this.#next === VALUE) {
      if (this.#isModel && end - start <= MAX_NAME_BYTES)
        this.#name = Buffer.from(piece.buffer, piece.byteOffset + start, end - start).toString()
      return
    }
    this.#isModel = end - start === MODEL.length && isAt(piece, start)
    if (this.#isModel) this.#names++
  }

  #string(piece: Uint8Array, from: number): number {
    let i = from
    if (this.#isEscaped) {
      this.#isEscaped = false
      i++
    }
    while (i < piece.length && STRING_STOP[piece[i] as number] === 0) i++
    const c = piece[i]
    if (c === QUOTE) this.#inString = false
    else if (c === BACKSLASH) this.#isEscaped = true
    if (this.#isKept) this.#keep(piece.subarray(from, c === QUOTE ? i : i + 1))
    if (c === QUOTE && this.#isKept) this.#end()
    return i + 1
  }

  #keep(part: Uint8Array): void {
    if (this.#text.length <= MAX_NAME_BYTES) this.#text += Buffer.from(part).toString('latin1')
  }

  #end(): void {
    if (this.#next === VALUE) {
      this.#name = textOf(this.#text)
      return
    }
    this.#isModel = this.#text === MODEL || (this.#text.includes('\\') && textOf(this.#text) === MODEL)
    if (this.#isModel) this.#names++
  }
}

const MODEL = 'model'

function isAt(piece: Uint8Array, start: number): boolean {
  for (let i = 0; i < MODEL.length; i++) if (piece[start + i] !== MODEL.charCodeAt(i)) return false
  return true
}

/** The index of the quote that ends a string without escapes; -1: it has some, or does not end here. */
function stringEnd(piece: Uint8Array, from: number): number {
  let i = from
  while (i < piece.length && STRING_STOP[piece[i] as number] === 0) i++
  return piece[i] === QUOTE ? i : -1
}

/** The text of a string, given as it is written, without quotes and one character a byte; undefined: it is none, or too long. */
function textOf(written: string): string | undefined {
  if (written.length > MAX_NAME_BYTES) return undefined
  const text = Buffer.from(written, 'latin1').toString()
  if (!written.includes('\\')) return text
  try {
    return JSON.parse(`"${text}"`) as string
  } catch {
    return undefined
  }
}
