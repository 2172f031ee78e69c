/**
 * Answers with embeddings: found in a server's text, cut into rows, and written from rows for each caller. A row keeps its vector
 * as 32-bit floats. What an answer says of itself alone (its id, when it was made) goes with its rows; what all answers of the model
 * have in common is their frame.
 */
import { COLON, OPEN_ARRAY, QUOTE } from '../../json/bytes.ts'
import { Cursor } from '../../json/scan.ts'
import type { Stretch } from '../../json/span.ts'
import { latin1 } from '../members.ts'
import type { Encoding } from './request.ts'
import { type Vector, vectorOfBase64, vectorOfNumbers } from './vector.ts'

/** One embedding in an answer. */
export interface Item {
  /** Its position in the input. */
  readonly index: number
  readonly embedding: Stretch
  /** Its other members, as they are written, with commas between. */
  readonly rest: string
  /** Its judgement is made of numbers. */
  readonly isSound: boolean
}

export interface EmbeddingsAnswer {
  /** The members that all answers of the model have, and those that are the answer's own; as they are written. */
  readonly common: string
  readonly own: string
  /** In the order of the text. */
  readonly items: readonly Item[]
  readonly usage: Stretch | undefined
}

/** What differs from answer to answer. */
const OWN = new Set(['id', 'created'])

/** What the items of an answer are. */
export interface ItemShape {
  /** The member that has them. */
  readonly list: string
  /** Each has an embedding. */
  readonly isVector: boolean
  /** A member of theirs that is not kept. */
  readonly dropped?: string | undefined
  /** Members of theirs that are numbers, or lists of them, where they are there. */
  readonly numbers?: ReadonlySet<string> | undefined
  /** One of these that each of them has. */
  readonly judged?: string | undefined
}

const EMBEDDINGS: ItemShape = { list: 'data', isVector: true }

/** Undefined: it is no whole answer with such items, each in its place; `isAll`: there is one for every row. */
export function readAnswer(body: Uint8Array, shape = EMBEDDINGS, isAll = true): EmbeddingsAnswer | undefined {
  const cursor = new Cursor(body)
  const common: string[] = []
  const own: string[] = []
  let items: Item[] | undefined
  let usage: Stretch | undefined
  const read = cursor.members((key) => {
    if (key === shape.list) {
      items = readItems(cursor, shape)
      return items !== undefined
    }
    const start = (cursor.peek(), cursor.pos)
    if (!cursor.skip()) return false
    if (key === 'usage') usage = { start, end: cursor.pos }
    // Some servers write `null` for no error.
    else if (key === 'error' || key === 'errors') return latin1(body, start, cursor.pos) === 'null'
    else (OWN.has(key) ? own : common).push(`"${key}":${latin1(body, start, cursor.pos)}`)
    return true
  })
  if (!read || !items || !cursor.finish() || (isAll && !areInPlace(items))) return undefined
  return { common: common.join(), own: own.join(), items, usage }
}

function readItems(cursor: Cursor, shape: ItemShape): Item[] | undefined {
  const items: Item[] = []
  const isRead =
    cursor.peek() === OPEN_ARRAY && cursor.elements((at) => readItem(cursor, { at, items, shape }))
  return isRead ? items : undefined
}

function readItem(
  cursor: Cursor,
  { at, items, shape }: { at: number; items: Item[]; shape: ItemShape },
): boolean {
  const { bytes } = cursor
  const rest: string[] = []
  let index = at
  let embedding: Stretch | undefined
  let isJudged = shape.judged === undefined
  let hasAll = true
  const read = cursor.members((key) => {
    const start = (cursor.peek(), cursor.pos)
    if (!cursor.skip()) return false
    if (key === shape.judged) isJudged = true
    if (shape.numbers?.has(key)) hasAll &&= hasNumbers(bytes, { start, end: cursor.pos })
    if (key === 'embedding' && shape.isVector) embedding = { start, end: cursor.pos }
    else if (key === 'index') index = Number(latin1(bytes, start, cursor.pos))
    else if (key !== shape.dropped) rest.push(`"${key}":${latin1(bytes, start, cursor.pos)}`)
    return true
  })
  if (!read || (shape.isVector && !embedding)) return false
  items.push({ index, embedding: embedding ?? NOWHERE, rest: rest.join(), isSound: isJudged && hasAll })
  return true
}

const NOWHERE: Stretch = { start: 0, end: 0 }

/** Each position once. */
function areInPlace(items: readonly Item[]): boolean {
  const places = new Set(items.map(({ index }) => index))
  return (
    places.size === items.length &&
    items.every(({ index }) => index >= 0 && index < items.length && Number.isInteger(index))
  )
}

/** Undefined: it is none of 32-bit floats. */
export function vectorAt(body: Uint8Array, { start, end }: Stretch): Vector | undefined {
  if (body[start] !== QUOTE) return vectorOfNumbers(body, start, end)
  const text = latin1(body, start + 1, end - 1)
  return vectorOfBase64(text.includes('\\') ? text.replaceAll('\\/', '/') : text)
}

/** Whether an embedding, or a score, has numbers: where its computation has failed, servers write `null` or `NaN` in their place, or none at all. */
export function hasNumbers(body: Uint8Array, { start, end }: Stretch): boolean {
  if (body[start] === QUOTE) return (vectorAt(body, { start, end })?.bytes.length ?? 0) > 0
  let isEmpty = true
  for (let i = start; i < end; i++) {
    const c = body[i] as number
    if (c === SMALL_N || c === LARGE_N || c === LARGE_I) return false
    if (c >= ZERO && c <= NINE) isEmpty = false
  }
  return !isEmpty
}

const ZERO = 0x30
const NINE = 0x39
/** With these `null`, `NaN` and `Infinity` begin. */
const [SMALL_N, LARGE_N, LARGE_I] = [0x6e, 0x4e, 0x49]

const KEY = Buffer.from('"embedding"')

/** How the first vector of an answer is written; undefined: it has none, or one that is no vector. The others are written alike. */
export function encodingOf(body: Uint8Array): Encoding | undefined {
  const text = Buffer.from(body.buffer, body.byteOffset, body.length)
  // `"object":"embedding"` has the word, too.
  for (let at = text.indexOf(KEY); at >= 0; at = text.indexOf(KEY, at + 1)) {
    const colon = behindSpace(text, at + KEY.length)
    if (text[colon] !== COLON) continue
    const first = text[behindSpace(text, colon + 1)]
    return first === QUOTE ? 'base64' : first === OPEN_ARRAY ? 'float' : undefined
  }
  return undefined
}

function behindSpace(text: Uint8Array, from: number): number {
  let i = from
  while (i < text.length && (text[i] as number) <= 0x20) i++
  return i
}
