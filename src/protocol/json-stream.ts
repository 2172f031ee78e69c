/**
 * The key of a JSON body that is too long to be joined: the same as json-document.ts makes, worked out chunk by
 * chunk. What is canonical so far goes into the hash at once; only objects below the top level are held back,
 * until it is known whether their members are in order.
 */
import { createHash, type Hash } from 'node:crypto'
import type { Digest } from '../core/key.ts'
import { writeCanonical } from './json-canonical.ts'
import { objectDigest, type Problem, scalarDigest } from './json-document.ts'
import { MAX_DEPTH, MAX_UNSORTED, OTHER, type ScanProblem, STRING_STOP } from './json-scan.ts'
import { LONE, SIMPLE_ESCAPE, unicodeEscape, writeCodePoint } from './json-string.ts'
import { numberEnd, wordEnd } from './json-token.ts'
import { Utf8Check } from './utf8-check.ts'

/** An object that grows past this before its end must have its members in order. */
const HELD_BYTES = 8 << 20
/** What is read between two yields: a few milliseconds. */
export const SLICE_BYTES = 512 << 10

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** What may come next. */
const VALUE = 0
const VALUE_OR_CLOSE = 1
const KEY = 2
const KEY_OR_CLOSE = 3
const COLON_NEXT = 4
const COMMA_OR_CLOSE = 5
const STRING = 6
const ESCAPE = 7
const SCALAR = 8
const DONE = 9

/** Takes a body in chunks; `finish` gives its digest. */
export class DocumentStream {
  readonly #utf8 = new Utf8Check()
  readonly #members = new Map<string, Digest>()
  readonly #closers = new Uint8Array(MAX_DEPTH + 1)
  /** The key read last in each open object. */
  readonly #keys: (string | undefined)[] = []
  readonly #escape = new Uint8Array(12)
  #escapeLength = 0
  #out = new Uint8Array(64 << 10)
  #at = 0
  #hash: Hash = createHash('sha256')
  #state = VALUE
  #depth = 0
  #inKey = false
  #tokenStart = 0
  /** The outermost object that is held back: where it begins in `out`, and its depth. */
  #heldAt = -1
  #heldDepth = 0
  #isUnsorted = false
  #problem: ScanProblem | undefined

  /** False once the body is known to have no key. */
  push(chunk: Uint8Array): boolean {
    if (this.#problem) return false
    if (!this.#utf8.push(chunk)) return this.#fail('invalid-utf8')
    this.#room(chunk.length)
    let i = 0
    while (i < chunk.length && !this.#problem) {
      if (this.#state === STRING) i = this.#string(chunk, i)
      else if (this.#state === SCALAR) i = this.#scalar(chunk, i)
      else this.#byte(chunk[i++] as number)
    }
    this.#letGo()
    return this.#problem === undefined
  }

  /** The key under `prefix`, or why there is none. */
  finish(prefix: Digest): Digest | Problem {
    if (this.#state === SCALAR && this.#depth === 0) this.#endScalar()
    if (!this.#problem && (this.#state !== DONE || !this.#utf8.finish())) this.#fail('unparsable')
    if (this.#problem) return { problem: this.#problem }
    const value = this.#members.get('\0')
    return value === undefined ? objectDigest(prefix, this.#members) : scalarDigest(prefix, value)
  }

  #byte(c: number): void {
    if (this.#state === ESCAPE) return this.#escaped(c)
    const isSpace = c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09
    if (isSpace) return
    switch (this.#state) {
      case VALUE:
        return this.#value(c)
      case VALUE_OR_CLOSE:
        return c === OPEN_ARRAY + 2 ? this.#close(c) : this.#value(c)
      case KEY:
        return this.#key(c)
      case KEY_OR_CLOSE:
        return c === CLOSE_OBJECT ? this.#close(c) : this.#key(c)
      case COLON_NEXT:
        return this.#colon(c)
      case COMMA_OR_CLOSE:
        return this.#comma(c)
      default:
        this.#fail('trailing-bytes')
    }
  }

  #value(c: number): void {
    if (c === OPEN_ARRAY || c === OPEN_OBJECT) return this.#open(c)
    this.#tokenStart = this.#at
    this.#put(c)
    this.#inKey = false
    this.#state = c === QUOTE ? STRING : SCALAR
  }

  #open(c: number): void {
    if (this.#depth === MAX_DEPTH) {
      this.#fail('too-deep')
      return
    }
    const isTop = this.#depth === 0 && c === OPEN_OBJECT
    this.#closers[++this.#depth] = c + 2
    this.#keys[this.#depth] = undefined
    this.#state = c === OPEN_OBJECT ? KEY_OR_CLOSE : VALUE_OR_CLOSE
    // Of the top-level object only the members are hashed, each for itself.
    if (isTop) return
    if (c === OPEN_OBJECT && this.#heldAt < 0) {
      this.#heldAt = this.#at
      this.#heldDepth = this.#depth
      this.#isUnsorted = false
    }
    this.#put(c)
  }

  #key(c: number): void {
    if (c !== QUOTE) {
      this.#fail('unparsable')
      return
    }
    this.#tokenStart = this.#at
    this.#put(c)
    this.#inKey = true
    this.#state = STRING
  }

  #colon(c: number): void {
    if (c !== COLON) this.#fail('unparsable')
    if (this.#depth > 1) this.#put(c)
    this.#state = VALUE
  }

  #comma(c: number): void {
    if (c !== COMMA) return this.#close(c)
    const isObject = this.#closers[this.#depth] === CLOSE_OBJECT
    if (this.#depth > 1 || !isObject) this.#put(c)
    this.#state = isObject ? KEY : VALUE
  }

  #close(c: number): void {
    if (c !== this.#closers[this.#depth]) {
      this.#fail('unparsable')
      return
    }
    if (this.#depth === 1 && c === CLOSE_OBJECT) {
      this.#depth = 0
      this.#state = DONE
      return
    }
    this.#put(c)
    if (this.#heldAt >= 0 && this.#heldDepth === this.#depth) this.#settle()
    this.#depth--
    this.#endValue()
  }

  /** The held object is complete: put it in order, if it is not. */
  #settle(): void {
    const start = this.#heldAt
    this.#heldAt = -1
    if (!this.#isUnsorted) return
    const source = this.#out.slice(start, this.#at)
    const span = { start: 0, end: source.length, spelling: OTHER, shape: 0 } as const
    const end = writeCanonical(source, span, { out: this.#out, at: start })
    if (typeof end === 'number') this.#at = end
    else this.#fail(end)
  }

  #endValue(): void {
    const isMember = this.#depth === 1 && this.#closers[1] === CLOSE_OBJECT
    this.#state = this.#depth === 0 ? DONE : COMMA_OR_CLOSE
    if (!isMember && this.#depth > 0) return
    this.#flush()
    this.#members.set(isMember ? (this.#keys[1] as string) : '\0', this.#hash.digest('latin1') as Digest)
    this.#hash = createHash('sha256')
  }

  #endScalar(): void {
    const token = this.#out.subarray(this.#tokenStart, this.#at)
    const first = token[0] as number
    const end = first <= 0x39 ? numberEnd(token, 0, token.length) : wordEnd(token, 0)
    if (end === token.length) this.#endValue()
    else this.#fail('unparsable')
  }

  /** Copies a number or word; the index behind it. */
  #scalar(chunk: Uint8Array, from: number): number {
    const out = this.#out
    let at = this.#at
    let i = from
    for (; i < chunk.length; i++) {
      const c = chunk[i] as number
      if (c <= 0x20 || c === COMMA || c === CLOSE_OBJECT || c === OPEN_ARRAY + 2) break
      out[at++] = c
    }
    this.#at = at
    if (i < chunk.length) this.#endScalar()
    return i
  }

  /** Copies what is plain; the index behind it. */
  #string(chunk: Uint8Array, from: number): number {
    let i = from
    while (i < chunk.length && STRING_STOP[chunk[i] as number] === 0) i++
    this.#out.set(chunk.subarray(from, i), this.#at)
    this.#at += i - from
    if (i === chunk.length) return i
    const c = chunk[i] as number
    if (c === QUOTE) this.#endString()
    else if (c === BACKSLASH) {
      this.#escape[0] = c
      this.#escapeLength = 1
      this.#state = ESCAPE
    } else this.#fail('unparsable')
    return i + 1
  }

  #escaped(c: number): void {
    const escape = this.#escape
    escape[this.#escapeLength++] = c
    const length = this.#escapeLength
    if (length === 2 && c !== 0x75) {
      const kind = SIMPLE_ESCAPE[c]
      if (kind === 2) this.#put(BACKSLASH)
      if (kind) this.#put(c)
      else this.#fail('unparsable')
      this.#state = STRING
    } else if (length >= 6) {
      // Until its second half is there, a pair cannot be told from half of one.
      if (length < 12 && isHighSurrogate(escape)) {
        if ((length === 7 && c !== BACKSLASH) || (length === 8 && c !== 0x75)) this.#fail('lone-surrogate')
        return
      }
      const code = unicodeEscape(escape, 0, length)
      if (code < 0) this.#fail(code === LONE ? 'lone-surrogate' : 'unparsable')
      else this.#at = writeCodePoint(code, this.#out, this.#at)
      this.#state = STRING
    }
  }

  #endString(): void {
    this.#put(QUOTE)
    if (!this.#inKey) return this.#endValue()
    const key = Buffer.from(this.#out.subarray(this.#tokenStart + 1, this.#at - 1)).toString('latin1')
    const previous = this.#keys[this.#depth]
    this.#inKey = false
    this.#keys[this.#depth] = key
    this.#state = COLON_NEXT
    if (this.#depth === 1) {
      if (this.#members.has(key)) this.#fail('duplicate-key')
      if (this.#members.size === MAX_UNSORTED) this.#fail('too-many-members')
      this.#at = this.#tokenStart
    } else if (previous !== undefined && key <= previous) {
      if (this.#heldAt < 0 || this.#depth < this.#heldDepth) this.#fail('unsorted-object')
      this.#isUnsorted = true
    }
  }

  /**
   * Gives to the hash what can be given. A held object stays, unless it has grown too big: from then on its
   * members must come in order, and what was written of it must be in order already.
   */
  #letGo(): void {
    if (this.#state === SCALAR || this.#inKey) return
    const held = this.#heldAt
    if (held >= 0 && this.#at - held <= HELD_BYTES) {
      if (held === 0) return
      this.#hash.update(this.#out.subarray(0, held))
      this.#out.copyWithin(0, held, this.#at)
      this.#at -= held
      this.#heldAt = 0
      return
    }
    if (held >= 0 && this.#isUnsorted) this.#fail('unsorted-object')
    this.#heldAt = -1
    this.#flush()
  }

  #flush(): void {
    this.#hash.update(this.#out.subarray(0, this.#at))
    this.#at = 0
  }

  #room(more: number): void {
    if (this.#at + more + 16 <= this.#out.length) return
    const bigger = new Uint8Array(Math.max(this.#out.length * 2, this.#at + more + 16))
    bigger.set(this.#out.subarray(0, this.#at))
    this.#out = bigger
  }

  #put(byte: number): void {
    this.#out[this.#at++] = byte
  }

  #fail(problem: ScanProblem): false {
    this.#problem ??= problem
    return false
  }
}

/** True for `\ud8xx` to `\udbxx`. */
function isHighSurrogate(escape: Uint8Array): boolean {
  const digit = (escape[3] as number) | 0x20
  return (
    ((escape[2] as number) | 0x20) === 0x64 &&
    (digit === 0x38 || digit === 0x39 || digit === 0x61 || digit === 0x62)
  )
}

/** Reads a body's key from its chunks, with a pause every `SLICE_BYTES`. */
export function* streamDigest(
  chunks: Iterable<Uint8Array>,
  prefix: Digest,
): Generator<void, Digest | Problem> {
  const stream = new DocumentStream()
  let read = 0
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += SLICE_BYTES) {
      const slice = chunk.subarray(at, at + SLICE_BYTES)
      if (!stream.push(slice)) return stream.finish(prefix)
      read += slice.length
      if (read < SLICE_BYTES) continue
      read = 0
      yield
    }
  }
  return stream.finish(prefix)
}
