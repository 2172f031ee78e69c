/**
 * The heads that a door has seen over HTTP/2, under one version of the settings. A client repeats its head with each call, save
 * for volatile fields such as its deadline: a head that is equal otherwise is not read again, and what was decided for it holds.
 */
import type { RawPairs } from '../../../core/call.ts'
import { isFieldValue } from '../../../core/field-syntax.ts'
import { Generations } from '../../../lib/generations.ts'
import { callerTimeout } from '../../http/deadlines.ts'
import { endToEnd } from '../../http/headers.ts'
import { VOLATILE_FIELDS } from '../door/volatile.ts'
import { type Http2Head, type MalformedHead, readHead } from './head.ts'

/** Longer heads are read each time. */
const MAX_CHARS = 2048
/** A head that nobody sent during a whole generation is forgotten. */
const SIZE = 512

export class KnownHeads {
  readonly #known = new Generations<{ readonly head: Http2Head; readonly raw: RawPairs }>(SIZE)
  /** The list that each head was read from, for as long as somebody has the head. */
  readonly #rawOf = new WeakMap<Http2Head, RawPairs>()
  /** By the list itself: a client's repeated head is decoded to the same. */
  readonly #byList = new WeakMap<RawPairs, Http2Head>()
  readonly #volatile: ReadonlySet<string>

  /** `used`: the fields that routes and keys depend on, which are never taken for equal. */
  constructor(used: ReadonlySet<string>) {
    this.#volatile = new Set(VOLATILE_FIELDS.filter((name) => !used.has(name)))
  }

  /** The head that these fields make, or an earlier one that differs at most in volatile values. */
  find(raw: RawPairs): Http2Head | MalformedHead {
    const same = this.#byList.get(raw)
    if (same) return same
    const key = this.#keyOf(raw)
    const known = key === undefined ? undefined : this.#known.get(key)
    if (known && this.#isAlike(raw, known.raw)) {
      if (isEqual(raw, known.raw)) this.#byList.set(raw, known.head)
      return known.head
    }
    const head = readHead(raw)
    if (!('malformed' in head)) this.#keep(key, head, raw)
    return head
  }

  /**
   * The head of this call, where `find` gave an earlier one: with this call's volatile fields, and a copy of the other's notes, so
   * that a change of the settings while the body arrives leads to a new decision by this call's fields.
   */
  forCall(raw: RawPairs, head: Http2Head): Http2Head {
    if (this.#byList.get(raw) === head) return head
    // Not the table: it may have forgotten the head, or learned another, while the body arrived.
    if (isEqual(raw, this.#rawOf.get(head) as RawPairs)) return head
    const own = readHead(raw) as Http2Head
    if (!head.notes.decision) {
      this.#keep(this.#keyOf(raw), own, raw)
      return own
    }
    const headers = endToEnd(own.headers, head.notes.withheld)
    const timeout = callerTimeout(headers) ?? Number.POSITIVE_INFINITY
    return { ...own, notes: { ...head.notes, headers, timeout } }
  }

  #keep(key: string | undefined, head: Http2Head, raw: RawPairs): void {
    this.#rawOf.set(head, raw)
    if (key !== undefined) this.#known.set(key, { head, raw })
  }

  /**
   * Whether a list is sound because the known one is, and means the same: it differs in volatile values alone, which a field may
   * have. Equal keys do not say so, since a list that nobody has checked may have line feeds.
   */
  #isAlike(raw: RawPairs, known: RawPairs): boolean {
    if (raw.length !== known.length) return false
    for (let i = 0; i < raw.length; i += 2) {
      const name = raw[i] as string
      const value = raw[i + 1] as string
      if (name !== known[i]) return false
      if (value !== known[i + 1] && !(this.#volatile.has(name) && isFieldValue(value))) return false
    }
    return true
  }

  /** Undefined: too long. */
  #keyOf(raw: RawPairs): string | undefined {
    let key = ''
    for (let i = 0; i < raw.length; i += 2) {
      const name = raw[i] as string
      key += this.#volatile.has(name) ? `${name}\n\n` : `${name}\n${raw[i + 1]}\n`
    }
    return key.length > MAX_CHARS ? undefined : key
  }
}

function isEqual(a: RawPairs, b: RawPairs): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i])
}
