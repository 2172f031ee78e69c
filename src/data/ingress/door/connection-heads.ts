/**
 * The heads of one connection: the last one comes again more often than not, and is compared without being looked up. A
 * client that traces its calls sends one that differs in volatile values only, and is known by its bytes with blanks for
 * them; what it said in them is still what its call is served with.
 */
import { callerTimeout } from '../../http/deadlines.ts'
import { endToEnd } from '../../http/headers.ts'
import { type ParsedHead, type RequestHead, readHead } from './head.ts'
import type { KnownRequests } from './known-requests.ts'
import type { RepeatCache } from './repeat-cache.ts'

/** A head of up to so many bytes is remembered, in case the next is the same. */
const MAX_REMEMBERED_BYTES = 2048

export class ConnectionHeads {
  readonly #current: () => KnownRequests
  #known: KnownRequests
  #last: RequestHead | undefined
  #lastKey: Buffer | undefined
  /** The last head had volatile values: the next is known by its bytes without them. */
  #isTraced = false

  /** `current`: what the door knows under the present settings. */
  constructor(current: () => KnownRequests) {
    this.#current = current
    this.#known = current()
  }

  /** Whole requests that were answered before, by `keyOf`. */
  get repeats(): RepeatCache {
    return this.#known.repeats
  }

  /** What a request is known by; stands until the next is asked for, on any connection. */
  keyOf(bytes: Buffer): Buffer {
    const known = this.#current()
    if (known !== this.#known) {
      this.#known = known
      this.#last = undefined
    }
    if (!this.#isTraced) return bytes
    const key = this.#known.volatile.blanked(bytes)
    this.#isTraced = key !== bytes
    return key
  }

  /** The head, or one that was read before and differs in volatile values at most. `key`: of `keyOf`. */
  read(bytes: Buffer, key: Buffer): ParsedHead {
    const last = this.#lastKey
    const isLonger = last !== undefined && key.length >= last.length
    if (isLonger && this.#last && key.compare(last, 0, last.length, 0, last.length) === 0) return this.#last
    const known = this.#known.heads.find(key)
    if (known) return this.#remembered(known, key)
    if (!this.#isTraced) {
      const blanked = this.#known.volatile.blanked(bytes)
      this.#isTraced = blanked !== bytes
      if (this.#isTraced) return this.read(bytes, blanked)
    }
    const head = this.#known.heads.read(bytes, key)
    return typeof head === 'object' ? this.#remembered(head, key) : head
  }

  /**
   * The head as this call has it, where `head` is another's: what its volatile fields say is its own. What was decided for the
   * other stands, in notes of its own: where settings change while it waits for its body, it is decided anew by its fields.
   */
  forCall(bytes: Buffer, head: RequestHead): RequestHead {
    if (bytes.toString('latin1', 0, head.bytes) === head.text) return head
    const key = this.keyOf(bytes)
    // The other came to no decision, as one that was refused: the next go by this one.
    if (!head.notes.decision) return this.#remembered(this.#known.heads.read(bytes, key) as RequestHead, key)
    // What is plain with blanks is plain without.
    const ownHead = readHead(bytes) as RequestHead
    const headers = endToEnd(ownHead.headers)
    const timeout = callerTimeout(headers) ?? Number.POSITIVE_INFINITY
    return { ...ownHead, notes: { ...head.notes, headers, timeout } }
  }

  #remembered(head: RequestHead, key: Buffer): RequestHead {
    if (head.bytes <= MAX_REMEMBERED_BYTES) {
      this.#last = head
      // A copy: the bytes around it must not be kept alive with it, and are used again.
      this.#lastKey = Buffer.copyBytesFrom(key, 0, head.bytes)
    }
    return head
  }
}
