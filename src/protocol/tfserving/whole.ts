/**
 * Whether a 200 is the whole answer of a V1 prediction: servers and what stands before them say under 200, too, that
 * they are out of memory, still loading, or a login page, and an answer that was cut off may have no length that would
 * tell. So it must be JSON to its end, speak of no error, and have as many predictions as there were instances.
 */
import { Cursor } from '../json/scan.ts'

const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b

/** What is known of a request when its answer is judged. */
export interface RequestShape {
  readonly verb: string | undefined
  /** How many instances it has; undefined: nothing in it says so. */
  readonly count: number | undefined
}

/** What an answer's own rows stand under. TensorFlow Serving writes `results`, and documents `result`. */
const ROW_MEMBERS = new Set(['predictions', 'outputs', 'results', 'result'])
/** What says of an answer that it is none. */
const ERRORS = new Set(['error', 'errors'])
/** What is no explanation either, where it stands alone. */
const NOTICES = new Set([...ERRORS, 'detail', 'message', 'code', 'status'])

export function isRowMember(key: string): boolean {
  return ROW_MEMBERS.has(key)
}

/** Walks over a member that is no row of the answer; false on a problem, or where it speaks of an error. */
export function skipOther(cursor: Cursor, key: string): boolean {
  if (!ERRORS.has(key)) return cursor.skip()
  const start = (cursor.peek(), cursor.pos)
  if (!cursor.skip()) return false
  const length = cursor.pos - start
  // `null` and `[]` are how some servers say that there was none.
  const isNone =
    (length === 4 && cursor.bytes[start] === 0x6e) || (length === 2 && cursor.bytes[start] === OPEN_ARRAY)
  return isNone
}

/** `counted`: there must be as many predictions as instances; otherwise any answer that is whole will do. */
export function isWholeAnswer(body: Uint8Array, { verb, count }: RequestShape, counted: boolean): boolean {
  const cursor = new Cursor(body)
  if (verb === 'explain') return isExplanation(cursor)
  const wanted = counted ? count : undefined
  // Some KServe models answer with the bare list.
  if (cursor.peek() === OPEN_ARRAY) return fits(elements(cursor), wanted) && cursor.finish()
  let found = 0
  const read = cursor.members((key) => {
    if (!ROW_MEMBERS.has(key)) return skipOther(cursor, key)
    found++
    return counted ? isCounted(cursor, key, wanted) : isSomething(cursor)
  })
  return read && cursor.finish() && found === 1
}

/** Walks over rows: a list, or under `outputs` a list for each name, of `wanted` elements where it is known. */
function isCounted(cursor: Cursor, key: string, wanted: number | undefined): boolean {
  const next = cursor.peek()
  if (next === OPEN_ARRAY) return fits(elements(cursor), wanted)
  if (next !== OPEN_OBJECT || (key !== 'outputs' && wanted !== undefined)) return false
  return cursor.members(() => {
    if (wanted === undefined) return cursor.skip()
    return cursor.peek() === OPEN_ARRAY && fits(elements(cursor), wanted)
  })
}

function isSomething(cursor: Cursor): boolean {
  const start = (cursor.peek(), cursor.pos)
  return cursor.skip() && !(cursor.pos - start === 4 && cursor.bytes[start] === 0x6e)
}

function isExplanation(cursor: Cursor): boolean {
  let said = 0
  const read = cursor.members((key) => {
    if (!NOTICES.has(key)) said++
    return skipOther(cursor, key)
  })
  return read && cursor.finish() && said > 0
}

/** How many elements the array at the cursor has; -1 where it is broken. */
export function elements(cursor: Cursor): number {
  let count = 0
  const read = cursor.elements(() => {
    count++
    return cursor.skip()
  })
  return read ? count : -1
}

function fits(count: number, wanted: number | undefined): boolean {
  return count >= 0 && (wanted === undefined || count === wanted)
}

/** Counts the instances of a request while it is read. */
export class Instances {
  readonly #verb: string | undefined
  #count: number | undefined
  #isClear = true

  constructor(verb: string | undefined) {
    this.#verb = verb
  }

  get counted(): RequestShape {
    return { verb: this.#verb, count: this.#isClear ? this.#count : undefined }
  }

  /** Walks over a member of the request. */
  readonly visit = (cursor: Cursor, key: string): boolean => {
    if (!isInstances(this.#verb, key)) return cursor.skip()
    const next = cursor.peek()
    if (next === OPEN_ARRAY) return this.#add(elements(cursor))
    if (next === OPEN_OBJECT && key === 'inputs')
      return cursor.members(() => {
        if (cursor.peek() === OPEN_ARRAY) return this.#add(elements(cursor))
        this.#isClear = false
        return cursor.skip()
      })
    this.#isClear = false
    return cursor.skip()
  }

  /** Columns of unequal length are tensors of a signature of its own kind, and no rows. */
  #add(count: number): boolean {
    if (this.#count !== undefined && this.#count !== count) this.#isClear = false
    this.#count = count
    return count >= 0
  }
}

/** Whether the rows of a request with this verb stand under `key`. */
export function isInstances(verb: string | undefined, key: string): boolean {
  if (verb === 'classify' || verb === 'regress') return key === 'examples'
  return key === 'instances' || key === 'inputs'
}
