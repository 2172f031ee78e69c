/**
 * A strict reader of HTTP/1.1 answers (RFC 9112). What two readers could take differently is an error: a
 * connection on which one answer hides in another must not be used again.
 */
import type { RawPairs } from '../../core/call.ts'
import type { Incoming } from './incoming.ts'

const MAX_HEAD_BYTES = 64 * 1024
const MAX_INTERIM = 16
const MAX_SIZE_LINE_BYTES = 1024
const LF = 10

/** The bytes are not an answer, or not one that can be told from what follows. */
export class GarbledError extends Error {}

export interface ReplyHead {
  readonly status: number
  readonly headers: RawPairs
}

/** Told what arrives, in order: head, pieces of the body, end. */
export interface ReplySink {
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
  #body: Incoming | undefined
  #part: Buffer | undefined
  #left = 0
  #interim = 0
  #reusable = true
  #idleMs: number | undefined

  /** The connection may carry another request once this answer is complete. */
  get isReusable(): boolean {
    return this.#reusable
  }

  /** How long the backend said it keeps an idle connection; undefined: it did not say. */
  get idleMs(): number | undefined {
    return this.#idleMs
  }

  /** An answer is awaited or under way. */
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

  /** Keeps nothing of `chunk` but copies. Throws GarbledError. */
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

  /** The backend closed its end. False: in the middle of an answer. */
  close(): boolean {
    if (this.#state === UNTIL_CLOSE) this.#end([])
    return this.#state === IDLE
  }

  /** Reads one element and gives where the next begins; -1: its end has not come. */
  #step(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case HEAD:
        return this.#head(bytes, at)
      case LENGTH:
      case CHUNK:
        return this.#piece(bytes, at)
      case UNTIL_CLOSE:
        this.#body?.push(copied(bytes, at, bytes.length))
        return bytes.length
      case SIZE_LINE:
        return this.#sizeLine(bytes, at)
      case CHUNK_END:
        return this.#chunkEnd(bytes, at)
      case TRAILERS:
        return this.#trailers(bytes, at)
      default:
        // Nobody asked: the answer before may have been longer than it said.
        this.#reusable = false
        throw new GarbledError('bytes that belong to no answer')
    }
  }

  #head(bytes: Buffer, at: number): number {
    const end = bytes.indexOf('\r\n\r\n', at, 'latin1')
    if (end < 0 || end - at > MAX_HEAD_BYTES) {
      if (bytes.length - at > MAX_HEAD_BYTES) throw new GarbledError('the head is too long')
      return -1
    }
    const text = bytes.toString('latin1', at, end + 2)
    const line = STATUS_LINE.exec(text)
    if (!line) throw new GarbledError('it does not begin with a status line')
    const status = Number(line[2])
    const headers = fieldsOf(text, line[0].length)
    if (status < 200) {
      if (status === 101 || ++this.#interim > MAX_INTERIM)
        throw new GarbledError(`unexpected status ${status}`)
      return end + 4
    }
    const framing = framingOf(headers, line[1] === '1', status)
    this.#reusable = framing.keepAlive
    this.#idleMs = framing.idleMs
    this.#body = (this.#sink as ReplySink).head({ status, headers })
    if (this.#method === 'HEAD' || status === 204 || status === 304 || framing.length === 0) {
      this.#end([])
    } else if (framing.chunked) {
      this.#state = SIZE_LINE
    } else if (framing.length !== undefined) {
      this.#state = LENGTH
      this.#left = framing.length
    } else {
      this.#state = UNTIL_CLOSE
      this.#reusable = false
    }
    return end + 4
  }

  #piece(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left)
    this.#left -= end - at
    if (end > at) this.#body?.push(copied(bytes, at, end))
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
      return -1
    }
    this.#end(fieldsOf(bytes.toString('latin1', at, end + 2), 0))
    return end + 4
  }

  #end(trailers: RawPairs): void {
    this.#state = IDLE
    this.#body = undefined
    const sink = this.#sink
    this.#sink = undefined
    sink?.end(trailers)
  }
}

/** With memory of its own: what is kept of an answer must not keep a pool of others. */
function copied(bytes: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(to - from)
  bytes.copy(copy, 0, from, to)
  return copy
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?\r\n/
// Up to 2^48: exact as a number. Extensions are passed over (RFC 9112, section 7.1.1).
const SIZE = /^([0-9a-f]{1,12})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n$/i
const FIELD = /([!#$%&'*+\-.^_`|~\w]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)\r\n/y

/** The field lines from `at` to the end of the text, each with its line end. */
function fieldsOf(text: string, at: number): string[] {
  const headers: string[] = []
  FIELD.lastIndex = at
  while (FIELD.lastIndex < text.length) {
    const field = FIELD.exec(text)
    // A folded line, a bare line break, a control character, a space before the colon.
    if (!field) throw new GarbledError('a field line is broken')
    headers.push(field[1] as string, trimmedEnd(field[2] as string))
  }
  return headers
}

function trimmedEnd(value: string): string {
  const last = value.charCodeAt(value.length - 1)
  return last === 32 || last === 9 ? value.trimEnd() : value
}

interface Framing {
  /** Undefined: to the end of the connection, unless chunked. */
  readonly length: number | undefined
  readonly chunked: boolean
  readonly keepAlive: boolean
  readonly idleMs: number | undefined
}

/** RFC 9112, section 6.3, without its leniencies. */
function framingOf(headers: RawPairs, isHttp11: boolean, status: number): Framing {
  let length: number | undefined
  let chunked = false
  let keepAlive = isHttp11
  let idleMs: number | undefined
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    // Names of other lengths decide nothing here.
    if (name.length !== 10 && name.length !== 14 && name.length !== 17) continue
    const value = headers[i + 1] as string
    switch (name.toLowerCase()) {
      case 'content-length':
        if (length !== undefined || !/^\d{1,15}$/.test(value))
          throw new GarbledError('Content-Length is broken')
        length = Number(value)
        break
      case 'transfer-encoding':
        if (chunked || !isHttp11 || value.toLowerCase() !== 'chunked' || status === 204)
          throw new GarbledError('Transfer-Encoding is not just "chunked"')
        chunked = true
        break
      case 'connection':
        if (!/^keep-alive$/i.test(value)) keepAlive = false
        break
      case 'keep-alive': {
        const timeout = /(?:^|[,\s])timeout=(\d{1,6})\b/i.exec(value)
        if (timeout) idleMs = Number(timeout[1]) * 1000
      }
    }
  }
  if (chunked && length !== undefined) throw new GarbledError('both Content-Length and Transfer-Encoding')
  return { length, chunked, keepAlive, idleMs }
}
