/**
 * Computes the key of a JSON body that is too long to be joined, chunk by chunk; it is the same key as in document.ts.
 * Canonical text goes into the hash at once. Only objects below the top level are held back, until it is known
 * whether their members are in order.
 */
import { createHash, type Hash } from 'node:crypto'
import type { Digest } from '../../core/key.ts'
import { Utf8Check } from '../utf8-check.ts'
import { BACKSLASH, CLOSE_OBJECT, COLON, COMMA, OPEN_ARRAY, OPEN_OBJECT, QUOTE } from './bytes.ts'
import { copy, writeCanonical } from './canonical.ts'
import { type JsonProblem, memberPrefix, objectDigest, scalarDigest } from './document.ts'
import { EscapeReader, MORE } from './escape.ts'
import { MAX_DEPTH, MAX_UNSORTED, type ScanProblem, STRING_STOP } from './scan.ts'
import { OTHER } from './span.ts'
import { LONE, writeCodePoint } from './string.ts'
import { numberEnd, SCALAR_STOP, wordEnd } from './token.ts'

/** An object that grows past this before its end must have its members in order. */
const HELD_BYTES = 1 << 20
/** The longest number, word or key. */
const MAX_TOKEN_BYTES = 1 << 20

/** What the grammar allows next. */
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

/** Takes a text in pieces; `finish` gives its digest. */
export class DocumentStream {
  readonly #prefix: Digest
  readonly #maxDepth: number
  readonly #utf8 = new Utf8Check()
  readonly #members = new Map<string, Digest>()
  readonly #closers = new Uint8Array(MAX_DEPTH + 1)
  /** The key read last in each open object. */
  readonly #keys: (string | undefined)[] = []
  readonly #escape = new EscapeReader()
  /** The number of elements of the top-level members that are arrays, by their names. */
  readonly lengths = new Map<string, number>()
  /** The commas of the present top-level array. */
  #commas = 0
  #out = new Uint8Array(1024)
  /** The same bytes as a Buffer. */
  #text = Buffer.from(this.#out.buffer)
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
  #unsorted = new Uint8Array(0)
  #problem: ScanProblem | undefined

  /** `prefix`: what the key covers besides; `around`: how many brackets are open around the text, which count as its own. */
  constructor(prefix: Digest, around = 0) {
    this.#prefix = prefix
    this.#maxDepth = MAX_DEPTH - around
  }

  /** False once the body is known to have no key. */
  push(chunk: Uint8Array): boolean {
    if (this.#problem) return false
    if (!this.#utf8.push(chunk)) return this.#fail('invalid-utf8')
    this.#room(chunk.length)
    for (let i = 0; i < chunk.length && !this.#problem; ) {
      if (this.#state === STRING) i = this.#string(chunk, i)
      else if (this.#state === SCALAR) i = this.#scalar(chunk, i)
      else i = this.#structure(chunk, i)
    }
    this.#letGo()
    return this.#problem === undefined
  }

  /** The key, or why there is none. */
  finish(): Digest | JsonProblem {
    const value = this.finishValue()
    if (value === undefined) return objectDigest(this.#prefix, this.#members)
    return typeof value === 'string' ? scalarDigest(this.#prefix, value) : value
  }

  /** The digests of an object's members, by their keys; or why there are none. */
  finishMembers(): Map<string, Digest> | JsonProblem {
    const value = this.finishValue()
    if (value === undefined) return this.#members
    return typeof value === 'string' ? { problem: 'unparsable' } : value
  }

  /** Digest of the text's canonical bytes; undefined where it is an object, of which only the members have one. */
  finishValue(): Digest | JsonProblem | undefined {
    if (this.#state === SCALAR && this.#depth === 0) this.#endScalar()
    if (!this.#problem && (this.#state !== DONE || !this.#utf8.finish())) this.#fail('unparsable')
    return this.#problem ? { problem: this.#problem } : this.#members.get('\0')
  }

  /** Reads what is between strings, numbers and words; returns the index behind it. */
  #structure(chunk: Uint8Array, from: number): number {
    let i = from
    while (i < chunk.length) {
      const c = chunk[i++] as number
      if (this.#state === ESCAPE) {
        this.#escaped(c)
        return i
      }
      if (c <= 0x20 && (c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09)) continue
      switch (this.#state) {
        case VALUE:
          this.#value(c)
          break
        case VALUE_OR_CLOSE:
          if (c === OPEN_ARRAY + 2) this.#close(c)
          else this.#value(c)
          break
        case KEY:
          this.#key(c)
          break
        case KEY_OR_CLOSE:
          if (c === CLOSE_OBJECT) this.#close(c)
          else this.#key(c)
          break
        case COLON_NEXT:
          this.#colon(c)
          break
        case COMMA_OR_CLOSE:
          if (c === COMMA) this.#comma()
          else this.#close(c)
          break
        default:
          this.#fail('trailing-bytes')
      }
      if (this.#state === STRING || this.#state === SCALAR || this.#problem) return i
    }
    return i
  }

  #value(c: number): void {
    if (c === OPEN_ARRAY || c === OPEN_OBJECT) return this.#open(c)
    this.#tokenStart = this.#at
    this.#put(c)
    this.#inKey = false
    this.#state = c === QUOTE ? STRING : SCALAR
  }

  #open(c: number): void {
    if (this.#depth === this.#maxDepth) return void this.#fail('too-deep')
    const isTop = this.#depth === 0 && c === OPEN_OBJECT
    this.#closers[++this.#depth] = c + 2
    this.#keys[this.#depth] = undefined
    this.#state = c === OPEN_OBJECT ? KEY_OR_CLOSE : VALUE_OR_CLOSE
    // The members of the top-level object are hashed separately.
    if (isTop) return
    this.#boundHeld()
    if (this.#depth === 2) this.#commas = 0
    if (c === OPEN_OBJECT && this.#heldAt < 0) {
      this.#heldAt = this.#at
      this.#heldDepth = this.#depth
      this.#isUnsorted = false
    }
    this.#put(c)
  }

  #key(c: number): void {
    if (c !== QUOTE) return void this.#fail('unparsable')
    this.#tokenStart = this.#at
    this.#put(c)
    this.#inKey = true
    this.#state = STRING
  }

  #colon(c: number): void {
    if (c !== COLON) this.#fail('unparsable')
    if (this.#depth > 1) this.#put(c)
    else this.#hash.update(memberPrefix(this.#prefix, this.#keys[1] as string), 'latin1')
    this.#state = VALUE
  }

  #comma(): void {
    const isObject = this.#closers[this.#depth] === CLOSE_OBJECT
    if (this.#depth > 1 || !isObject) this.#put(COMMA)
    if (this.#depth === 2) this.#commas++
    this.#state = isObject ? KEY : VALUE
  }

  #close(c: number): void {
    if (c !== this.#closers[this.#depth]) return void this.#fail('unparsable')
    if (this.#depth === 1 && c === CLOSE_OBJECT) {
      this.#depth = 0
      this.#state = DONE
      return
    }
    this.#put(c)
    if (this.#depth === 2 && c === OPEN_ARRAY + 2 && this.#keys[1] !== undefined)
      this.lengths.set(this.#keys[1], this.#state === VALUE_OR_CLOSE ? 0 : this.#commas + 1)
    this.#boundHeld()
    if (this.#heldAt >= 0 && this.#heldDepth === this.#depth) this.#settle()
    this.#depth--
    this.#endValue()
  }

  /** The held object is complete: sorts its members if they are not in order. */
  #settle(): void {
    const start = this.#heldAt
    this.#heldAt = -1
    if (!this.#isUnsorted) return
    const size = this.#at - start
    if (this.#unsorted.length < size) this.#unsorted = new Uint8Array(size * 2)
    const source = this.#unsorted
    copy(this.#out, { start, end: this.#at }, { out: source, at: 0 })
    const span = { start: 0, end: size, spelling: OTHER, shape: 0 } as const
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
    const out = this.#out
    const start = this.#tokenStart
    const end = (out[start] as number) <= 0x39 ? numberEnd(out, start, this.#at) : wordEnd(out, start)
    if (end === this.#at) this.#endValue()
    else this.#fail('unparsable')
  }

  /** Copies a number or word; returns the index behind it. */
  #scalar(chunk: Uint8Array, from: number): number {
    const out = this.#out
    let at = this.#at
    let i = from
    while (i < chunk.length && SCALAR_STOP[chunk[i] as number] === 0) out[at++] = chunk[i++] as number
    this.#at = at
    if (this.#isLong() || i === chunk.length) return i
    this.#endScalar()
    return i
  }

  /** Copies a string's characters, and rewrites its escapes; returns the index behind what was read. */
  #string(chunk: Uint8Array, from: number): number {
    let i = from
    while (i < chunk.length && STRING_STOP[chunk[i] as number] === 0) i++
    this.#at = copy(chunk, { start: from, end: i }, { out: this.#out, at: this.#at })
    if (i === chunk.length || (this.#inKey && this.#isLong())) return i
    const c = chunk[i] as number
    if (c === QUOTE) this.#endString()
    else if (c === BACKSLASH) {
      this.#escape.begin()
      this.#state = ESCAPE
    } else this.#fail('unparsable')
    return i + 1
  }

  /** Whether a number or key is too long: they are collected whole, so their length is bounded. */
  #isLong(): boolean {
    if (this.#at - this.#tokenStart <= MAX_TOKEN_BYTES) return false
    this.#fail('long-token')
    return true
  }

  #escaped(c: number): void {
    const code = this.#escape.push(c)
    if (code === MORE) return
    if (code < 0) this.#fail(code === LONE ? 'lone-surrogate' : 'unparsable')
    else this.#at = writeCodePoint(code, this.#out, this.#at)
    this.#state = STRING
  }

  #endString(): void {
    this.#put(QUOTE)
    if (!this.#inKey) return this.#endValue()
    const key = this.#text.toString('latin1', this.#tokenStart + 1, this.#at - 1)
    const previous = this.#keys[this.#depth]
    this.#inKey = false
    this.#boundHeld()
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
   * Stops holding an object that has grown too big: from here on its members must come in order, and those written so far must be
   * in order already. Checked wherever order matters, so that the result does not depend on where the text was cut.
   */
  #boundHeld(): void {
    if (this.#heldAt < 0 || this.#at - this.#heldAt <= HELD_BYTES) return
    if (this.#isUnsorted) this.#fail('unsorted-object')
    this.#heldAt = -1
  }

  /** Hashes the output that is final: all but the held object, and a token that is incomplete. */
  #letGo(): void {
    if (this.#state === SCALAR || this.#inKey) return
    this.#boundHeld()
    const held = this.#heldAt
    if (held < 0) return this.#flush()
    if (held === 0) return
    this.#hash.update(this.#out.subarray(0, held))
    this.#out.copyWithin(0, held, this.#at)
    this.#at -= held
    this.#heldAt = 0
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
    this.#text = Buffer.from(bigger.buffer)
  }

  #put(byte: number): void {
    this.#out[this.#at++] = byte
  }

  #fail(problem: ScanProblem): false {
    this.#problem ??= problem
    return false
  }
}
