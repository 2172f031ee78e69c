/**
 * Collects the parts that a digest covers (its preimage), each with its length in front, so that no two lists of parts have
 * the same bytes: a byte that moves from one part to the next gives another key.
 */
import { type Digest, digestOf } from '../core/key.ts'
import { Scratch } from '../lib/scratch.ts'
import { writeCanonical } from './json/canonical.ts'
import { type ScanProblem } from './json/scan.ts'
import { CANONICAL, type Span } from './json/span.ts'

const DIGEST_BYTES = 32

/** The longest preimage whose view is kept: making a view costs as much as hashing a tiny preimage. */
const KEPT_VIEW = 1024
/** The most preimages that are open at a time. */
const MAX_BUFFERS = 8

/** Memory that preimages are written into, one after the other. */
interface PreimageBuffer {
  readonly bytes: Buffer
  /** Views of the first bytes, by their number. */
  readonly views: Buffer[]
}

const buffers: PreimageBuffer[] = []

/** Collects parts; `digest` is SHA-256 over all of them, and ends it. */
export class Preimage {
  #buffer: PreimageBuffer = buffers.pop() ?? { bytes: Buffer.allocUnsafeSlow(KEPT_VIEW), views: [] }
  #at = 0

  /** A string as UTF-8. */
  text(part: string): this {
    const length = Buffer.byteLength(part)
    this.number(length)
    const bytes = this.#room(length)
    this.#at += bytes.write(part, this.#at, 'utf8')
    return this
  }

  /** A string of bytes: a digest, or a key of a Cursor. */
  latin1(part: string): this {
    this.number(part.length)
    const bytes = this.#room(part.length)
    this.#at += bytes.write(part, this.#at, 'latin1')
    return this
  }

  bytes(part: Uint8Array): this {
    this.number(part.length)
    const bytes = this.#room(part.length)
    bytes.set(part, this.#at)
    this.#at += part.length
    return this
  }

  /** A count or size up to 2^32 - 1. */
  number(value: number): this {
    this.#at = this.#room(4).writeUInt32LE(value, this.#at)
    return this
  }

  digest(): Digest {
    const buffer = this.#buffer
    const at = this.#at
    if (buffer.bytes.length > KEPT_VIEW) return digestOf(buffer.bytes.subarray(0, at))
    const digest = digestOf((buffer.views[at] ??= buffer.bytes.subarray(0, at)))
    if (buffers.length < MAX_BUFFERS) buffers.push(buffer)
    return digest
  }

  /** Makes room for so many more bytes, and returns the memory. */
  #room(more: number): Buffer {
    const { bytes } = this.#buffer
    if (this.#at + more <= bytes.length) return bytes
    const bigger = Buffer.allocUnsafe(Math.max(bytes.length * 2, this.#at + more))
    bigger.set(bytes.subarray(0, this.#at))
    this.#buffer = { bytes: bigger, views: [] }
    return bigger
  }
}

/** Up to this size a loop copies faster than a view and `set` do. */
const LOOP_BYTES = 96
const KEEP_BYTES = 1 << 20
const COMMA = 0x2c

const scratch = new Scratch(64 << 10)

/**
 * Digests many values under one prefix: SHA-256 over the prefix' 32 bytes and the value's canonical bytes.
 * All hashers share one scratch buffer: finish with one before the next is made.
 */
export class SpanHasher {
  #at = DIGEST_BYTES

  constructor(prefix: Digest) {
    if (scratch.bytes.length > KEEP_BYTES) scratch.shrink()
    scratch.bytes.write(prefix, 0, DIGEST_BYTES, 'latin1')
  }

  /** The digest of a span's canonical bytes, or why it has none. */
  span(bytes: Uint8Array, span: Span): Digest | { readonly problem: ScanProblem } {
    const size = span.end - span.start
    scratch.fit(size + DIGEST_BYTES, DIGEST_BYTES)
    const out = scratch.bytes
    let end = DIGEST_BYTES
    if (size <= LOOP_BYTES && span.spelling === CANONICAL) {
      for (let i = span.start; i < span.end; i++) out[end++] = bytes[i] as number
    } else {
      const written = writeCanonical(bytes, span, { out, at: DIGEST_BYTES })
      if (typeof written === 'string') return { problem: written }
      end = written
    }
    return digestOf(scratch.view(end))
  }

  /** The digest of several spans, as the elements of one array without its brackets. */
  spans(bytes: Uint8Array, spans: readonly Span[]): Digest | { readonly problem: ScanProblem } {
    const size = spans.reduce((sum, span) => sum + span.end - span.start + 1, DIGEST_BYTES)
    scratch.fit(size, DIGEST_BYTES)
    const out = scratch.bytes
    let end = DIGEST_BYTES
    for (const span of spans) {
      if (end > DIGEST_BYTES) out[end++] = COMMA
      const written = writeCanonical(bytes, span, { out, at: end })
      if (typeof written === 'string') return { problem: written }
      end = written
    }
    return digestOf(scratch.view(end))
  }

  /** Begins a value that is added in pieces. */
  begin(): void {
    this.#at = DIGEST_BYTES
  }

  /** Adds a piece unchanged. */
  add(bytes: Uint8Array, start: number, end: number): void {
    const size = end - start
    scratch.fit(this.#at + size, this.#at)
    const out = scratch.bytes
    if (size > LOOP_BYTES) out.set(bytes.subarray(start, end), this.#at)
    else for (let i = 0; i < size; i++) out[this.#at + i] = bytes[start + i] as number
    this.#at += size
  }

  /** The digest of the pieces added since `begin`. */
  digest(): Digest {
    return digestOf(scratch.view(this.#at))
  }
}
