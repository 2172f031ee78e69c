/**
 * Finds the parsed head for the bytes of a connection. Mostly a client repeats its last head, which is compared without a
 * look-up. The heads of a client that traces its calls differ in volatile values only: they are compared with blanks in
 * place of these values, and each call still gets its own values.
 */
import { header } from '../../../core/call.ts'
import { TRACEPARENT } from '../../../core/trace-context.ts'
import type { HitSource } from '../../hits/memory-hit.ts'
import { callerTimeout } from '../../http/deadlines.ts'
import { endToEnd } from '../../http/headers.ts'
import { isUnclear } from '../h2/preface.ts'
import { type ParsedHead, type RequestHead, readHead } from './head.ts'
import { headText } from './head-cache.ts'
import type { KnownRequests } from './known-requests.ts'
import type { RepeatedRequest } from './repeat-cache.ts'

/** The longest head that is compared with the next one. */
const MAX_REMEMBERED_BYTES = 2048
/** So much longer may the next head be before its copy needs another buffer. */
const SPARE_BYTES = 32

export class ConnectionHeads {
  readonly #current: () => KnownRequests
  #known: KnownRequests
  #last: RequestHead | undefined
  /** Begins with the bytes of the last head; made once, since heads differ from call to call where bodies do in length. */
  #lastKey: Buffer | undefined
  /** The last head had volatile values, so the next is blanked before it is compared. */
  #isTraced = false

  /** `current`: the door's caches under the present settings. */
  constructor(current: () => KnownRequests) {
    this.#current = current
    this.#known = current()
  }

  /** The whole request with this key, if it was a hit. */
  repeatOf(key: Buffer): RepeatedRequest | undefined {
    return this.#known.repeats.get(key)
  }

  /** Stores a whole request that was a hit; `bytes`: all of it. */
  keepHit(bytes: Buffer, head: RequestHead, source: HitSource): void {
    this.#known.repeats.keep(this.keyOf(bytes), head, source)
  }

  /** The bytes that a request is looked up by; valid until the next call, on any connection. */
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

  /** The parsed head: of this request, or of an earlier one that differs at most in volatile values. `key`: from `keyOf`. */
  read(bytes: Buffer, key: Buffer): ParsedHead {
    const last = this.#last
    if (last && this.#isLast(key, last.bytes)) return last
    const { heads } = this.#known
    const text = headText(key)
    const known = heads.find(text)
    if (known) return this.#remembered(known, key)
    if (!this.#isTraced) {
      const blanked = this.#known.volatile.blanked(bytes)
      this.#isTraced = blanked !== bytes
      if (this.#isTraced) return this.read(bytes, blanked)
    }
    const head = heads.read(bytes, text)
    if (typeof head === 'object') return this.#remembered(head, key)
    return head === 'other' && isUnclear(bytes) ? 'part' : head
  }

  /** The caller's own id of the request with this head, or the empty string. Valid after `keyOf` and `read` alone. */
  requestIdOf(bytes: Buffer, head: RequestHead): string {
    return (this.#isTraced ? this.#known.volatile.requestIdOf(bytes) : undefined) ?? head.requestId
  }

  /** What the request says in traceparent. Valid as above. */
  traceparentOf(bytes: Buffer, head: RequestHead): string | undefined {
    return (
      (this.#isTraced ? this.#known.volatile.traceparentOf(bytes) : undefined) ??
      header(head.headers, TRACEPARENT)
    )
  }

  /**
   * The head of this call if `head` was parsed from another's: with this call's volatile fields, and with a copy of the
   * other's notes, so that a change of the settings while the body arrives leads to a new decision by this call's fields.
   */
  forCall(bytes: Buffer, head: RequestHead): RequestHead {
    // Without blanks, what was found is equal byte for byte.
    if (!this.#isTraced || bytes.toString('latin1', 0, head.bytes) === head.text) return head
    const key = this.keyOf(bytes)
    // The other call has no decision, because it was refused, say: this head replaces it in the cache.
    if (!head.notes.decision)
      return this.#remembered(this.#known.heads.read(bytes, headText(key)) as RequestHead, key)
    // A head that is plain with blanks is plain without them.
    const ownHead = readHead(bytes) as RequestHead
    const headers = endToEnd(ownHead.headers, head.notes.withheld)
    const timeout = callerTimeout(headers) ?? Number.POSITIVE_INFINITY
    return { ...ownHead, notes: { ...head.notes, headers, timeout } }
  }

  #isLast(key: Buffer, length: number): boolean {
    const last = this.#lastKey
    return last !== undefined && key.length >= length && key.compare(last, 0, length, 0, length) === 0
  }

  #remembered(head: RequestHead, key: Buffer): RequestHead {
    const { bytes } = head
    if (bytes <= MAX_REMEMBERED_BYTES) {
      this.#last = head
      if (this.#lastKey === undefined || this.#lastKey.length < bytes)
        this.#lastKey = Buffer.allocUnsafeSlow(Math.min(bytes + SPARE_BYTES, MAX_REMEMBERED_BYTES))
      // A copy, because the buffer is reused.
      key.copy(this.#lastKey, 0, 0, bytes)
    }
    return head
  }
}
