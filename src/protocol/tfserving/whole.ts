/**
 * Checks that a 200 is the whole answer to a V1 prediction. Under 200, servers and proxies before them also send errors (out of
 * memory, still loading) and login pages, and an answer without a length may have been cut off. So the answer must be
 * valid JSON to its end, report no error, and have as many predictions as the request has instances.
 */
import { Cursor } from '../json/scan.ts'

const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b

/** What is known about a request when its answer is checked. */
export interface RequestShape {
  readonly verb: string | undefined
  /** How many instances the request has; undefined: unknown. */
  readonly count: number | undefined
}

/** The members that hold an answer's rows. TensorFlow Serving writes `results`, and documents `result`. */
const ROW_MEMBERS = new Set(['predictions', 'outputs', 'results', 'result'])
/** The members that report an error. */
const ERRORS = new Set(['error', 'errors'])
/** The members that make no explanation if the answer has no others. */
const NOTICES = new Set([...ERRORS, 'detail', 'message', 'code', 'status'])

export function isRowMember(key: string): boolean {
  return ROW_MEMBERS.has(key)
}

/** Walks over a member that holds no rows; false on a problem, or if it reports an error. */
export function skipOther(cursor: Cursor, key: string): boolean {
  if (!ERRORS.has(key)) return cursor.skip()
  const start = (cursor.peek(), cursor.pos)
  if (!cursor.skip()) return false
  const length = cursor.pos - start
  // Some servers write `null` or `[]` for no error.
  const isNone =
    (length === 4 && cursor.bytes[start] === 0x6e) || (length === 2 && cursor.bytes[start] === OPEN_ARRAY)
  return isNone
}

/** `counted`: there must be as many predictions as instances; otherwise any whole answer is accepted. */
export function isWholeAnswer(body: Uint8Array, { verb, count }: RequestShape, counted: boolean): boolean {
  const cursor = new Cursor(body)
  if (verb === 'explain') return isExplanation(cursor)
  const wanted = counted ? count : undefined
  // Some KServe models answer with a bare list.
  if (cursor.peek() === OPEN_ARRAY) return fits(elements(cursor), wanted) && cursor.finish()
  let found = 0
  const read = cursor.members((key) => {
    if (!ROW_MEMBERS.has(key)) return skipOther(cursor, key)
    found++
    return counted ? isCounted(cursor, key, wanted) : isSomething(cursor)
  })
  return read && cursor.finish() && found === 1
}

/** Walks over rows: a list, or under `outputs` a list for each name, with `wanted` elements if that is known. */
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

/** How many elements the array at the cursor has; -1 if it is invalid. */
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

  /** Columns of unequal length are tensors that have no rows. */
  #add(count: number): boolean {
    if (this.#count !== undefined && this.#count !== count) this.#isClear = false
    this.#count = count
    return count >= 0
  }
}

/** Whether `key` holds the rows of a request with this verb. */
export function isInstances(verb: string | undefined, key: string): boolean {
  if (verb === 'classify' || verb === 'regress') return key === 'examples'
  return key === 'instances' || key === 'inputs'
}
