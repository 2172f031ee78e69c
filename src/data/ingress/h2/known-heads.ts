/**
 * The heads that a door has seen over HTTP/2, under one version of the settings. A client repeats its head with each call, save
 * for volatile fields such as its deadline: a head that is equal otherwise is not read again, and what was decided for it holds.
 */
import type { RawPairs } from '../../../core/call.ts'
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
    if (known) {
      if (isEqual(raw, known.raw)) this.#byList.set(raw, known.head)
      return known.head
    }
    const head = readHead(raw)
    if (key !== undefined && !('malformed' in head)) this.#known.set(key, { head, raw })
    return head
  }

  /**
   * The head of this call, where `find` gave an earlier one: with this call's volatile fields, and a copy of the other's notes, so
   * that a change of the settings while the body arrives leads to a new decision by this call's fields.
   */
  forCall(raw: RawPairs, head: Http2Head): Http2Head {
    if (this.#byList.get(raw) === head) return head
    const key = this.#keyOf(raw)
    const known = key === undefined ? undefined : this.#known.get(key)
    if (known?.head !== head || isEqual(raw, known.raw)) return head
    const own = readHead(raw) as Http2Head
    if (!head.notes.decision) {
      this.#known.set(key as string, { head: own, raw })
      return own
    }
    const headers = endToEnd(own.headers, head.notes.withheld)
    const timeout = callerTimeout(headers) ?? Number.POSITIVE_INFINITY
    return { ...own, notes: { ...head.notes, headers, timeout } }
  }

  /** Undefined: too long. No name or value has a line feed. */
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
