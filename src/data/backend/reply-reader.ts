/**
 * A strict reader of HTTP/1.1 answers (RFC 9112). What two readers could parse differently is an error: a connection on
 * which one answer hides in another must not be used again.
 */
import type { RawPairs } from '../../core/call.ts'
import { TEXT } from '../../core/field-syntax.ts'
import type { Incoming } from './incoming.ts'
import {
  fieldsOf,
  GarbledError,
  MAX_HEAD_BYTES,
  MAX_INTERIM,
  type ReplyHead,
  readReplyHead,
} from './reply-head.ts'

const MAX_SIZE_LINE_BYTES = 1024
const LF = 10
const NOTHING = Buffer.alloc(0)

/** Receives what arrives, in order: head, pieces of the body, end; or all of it at once. */
export interface ReplySink {
  /** The body arrived with its head, and has the length that the head states. */
  whole(head: ReplyHead, body: Uint8Array): void
  head(head: ReplyHead): Incoming
  end(trailers: RawPairs): void
}

const IDLE = 0
const HEAD = 1
const LENGTH = 2
const UNTIL_CLOSE = 3
const SIZE_LINE = 4
const CHUNK = 5
const CHUNK_END = 6
const TRAILERS = 7

export class ReplyReader {
  #state = IDLE
  #method = ''
  #sink: ReplySink | undefined
  #incoming: Incoming | undefined
  #part: Buffer | undefined
  #left = 0
  #interim = 0
  #reusable = true
  #status = 0
  #idleMs: number | undefined

  /** Whether the connection may carry another request once this answer is complete. */
  get isReusable(): boolean {
    return this.#reusable
  }

  /** Of the last answer that has begun. */
  get status(): number {
    return this.#status
  }

  /** How long the backend keeps an idle connection open; undefined: it does not say. */
  get idleMs(): number | undefined {
    return this.#idleMs
  }

  /** Whether an answer is awaited or under way. */
  get isBusy(): boolean {
    return this.#state !== IDLE
  }

  expect(method: string, sink: ReplySink): void {
    this.#state = HEAD
    this.#method = method
    this.#sink = sink
    this.#interim = 0
    this.#reusable = true
  }

  /** Parses `chunk`, and keeps only copies of it. Throws GarbledError. */
  read(chunk: Buffer): void {
    const bytes = this.#part ? Buffer.concat([this.#part, chunk]) : chunk
    this.#part = undefined
    let at = 0
    while (at < bytes.length) {
      const next = this.#step(bytes, at)
      if (next < 0) {
        this.#part = copied(bytes, at, bytes.length)
        return
      }
      at = next
    }
  }

  /** The backend has closed its end. False: in the middle of an answer. */
  close(): boolean {
    if (this.#state === UNTIL_CLOSE) this.#end([])
    return this.#state === IDLE
  }

  /** Parses one element and returns where the next begins; -1: its end has not arrived. */
  #step(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case HEAD:
        return this.#head(bytes, at)
      case LENGTH:
      case CHUNK:
        return this.#piece(bytes, at)
      case UNTIL_CLOSE:
        this.#incoming?.push(copied(bytes, at, bytes.length))
        return bytes.length
      case SIZE_LINE:
        return this.#sizeLine(bytes, at)
      case CHUNK_END:
        return this.#chunkEnd(bytes, at)
      case TRAILERS:
        return this.#trailers(bytes, at)
      default:
        // No request is outstanding: the answer before may have been longer than it stated.
        this.#reusable = false
        throw new GarbledError('bytes that belong to no answer')
    }
  }

  #head(bytes: Buffer, at: number): number {
    const end = bytes.indexOf('\r\n\r\n', at, 'latin1')
    if (end < 0 || end - at > MAX_HEAD_BYTES) {
      if (bytes.length - at > MAX_HEAD_BYTES)
        throw new GarbledError(`the head is longer than ${MAX_HEAD_BYTES} bytes`)
      checkBegun(bytes, at)
      return -1
    }
    const head = readReplyHead(bytes.toString('latin1', at, end + 2))
    if (head.status < 200) {
      if (head.status === 101 || ++this.#interim > MAX_INTERIM)
        throw new GarbledError(`unexpected status ${head.status}`)
      return end + 4
    }
    this.#reusable = head.keepAlive
    this.#status = head.status
    this.#idleMs = head.idleMs
    return this.#body(head, bytes, end + 4)
  }

  /** Begins the body that follows a head, from `at` on. */
  #body(head: ReplyHead, bytes: Buffer, at: number): number {
    const { length, status } = head
    const sink = this.#sink as ReplySink
    // The framing fields of such a head describe another answer.
    const isBodiless = this.#method === 'HEAD' || status === 204 || status === 304
    if (!isBodiless && length !== undefined && bytes.length - at >= length) {
      this.#state = IDLE
      this.#sink = undefined
      sink.whole(head, length === 0 ? NOTHING : short(bytes, at, at + length))
      return at + length
    }
    this.#incoming = sink.head(head)
    if (isBodiless) {
      this.#end([])
    } else if (head.chunked) {
      this.#state = SIZE_LINE
    } else if (length !== undefined) {
      this.#state = LENGTH
      this.#left = length
    } else {
      this.#state = UNTIL_CLOSE
      this.#reusable = false
    }
    return at
  }

  #piece(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left)
    this.#left -= end - at
    if (end > at) this.#incoming?.push(copied(bytes, at, end))
    if (this.#left > 0) return end
    if (this.#state === CHUNK) this.#state = CHUNK_END
    else this.#end([])
    return end
  }

  #sizeLine(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(LF, at)
    if (end < 0 || end - at > MAX_SIZE_LINE_BYTES) {
      if (bytes.length - at > MAX_SIZE_LINE_BYTES) throw new GarbledError('a chunk without a size')
      return -1
    }
    const line = SIZE.exec(bytes.toString('latin1', at, end + 1))
    if (!line) throw new GarbledError('a chunk without a size')
    this.#left = Number.parseInt(line[1] as string, 16)
    this.#state = this.#left === 0 ? TRAILERS : CHUNK
    return end + 1
  }

  #chunkEnd(bytes: Buffer, at: number): number {
    if (bytes.length - at < 2) return -1
    if (bytes[at] !== 13 || bytes[at + 1] !== LF) throw new GarbledError('a chunk is longer than its size')
    this.#state = SIZE_LINE
    return at + 2
  }

  #trailers(bytes: Buffer, at: number): number {
    if (bytes.length - at >= 2 && bytes[at] === 13 && bytes[at + 1] === LF) {
      this.#end([])
      return at + 2
    }
    const end = bytes.indexOf('\r\n\r\n', at, 'latin1')
    if (end < 0) {
      if (bytes.length - at > MAX_HEAD_BYTES) throw new GarbledError('the trailers are too long')
      checkLines(bytes, at)
      return -1
    }
    this.#end(fieldsOf(bytes.toString('latin1', at, end + 2), 0))
    return end + 4
  }

  #end(trailers: RawPairs): void {
    this.#state = IDLE
    this.#incoming = undefined
    const sink = this.#sink
    this.#sink = undefined
    sink?.end(trailers)
  }
}

const BEGIN = Buffer.from('HTTP/1.')

/** Rejects an incomplete head that cannot become a valid one: waiting for its end would last until the deadline. */
function checkBegun(bytes: Buffer, at: number): void {
  const length = Math.min(BEGIN.length, bytes.length - at)
  if (bytes.compare(BEGIN, 0, length, at, at + length) !== 0)
    throw new GarbledError('it does not begin with a status line')
  checkLines(bytes, at)
}

/** Lines must end with CR and LF. RFC 9112, section 2.2 lets a reader accept LF alone, and readers that do so differ. */
function checkLines(bytes: Buffer, from: number): void {
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1))
    if (at === from || bytes[at - 1] !== 13) throw new GarbledError('a line does not end with CR and LF')
}

/** A copy with memory of its own: what is kept of an answer must not keep a pool of others alive. */
function copied(bytes: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(to - from)
  bytes.copy(copy, 0, from, to)
  return copy
}

/** Shorter bodies share memory: they are passed on at once, and whoever keeps one keeps a copy. */
const SHORT_BYTES = 2048

function short(bytes: Buffer, from: number, to: number): Buffer {
  if (to - from > SHORT_BYTES) return copied(bytes, from, to)
  const copy = Buffer.allocUnsafe(to - from)
  bytes.copy(copy, 0, from, to)
  return copy
}

// Up to 2^48: exact as a number. Extensions are skipped (RFC 9112, section 7.1.1).
const SIZE = new RegExp(String.raw`^([0-9a-f]{1,12})[ \t]*(?:;${TEXT})?\r\n$`, 'i')
