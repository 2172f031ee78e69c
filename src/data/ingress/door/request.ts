/**
 * The HTTP exchange of the fast door: one plain request and its answer. The body is kept in the pieces that arrive; a small
 * answer is one write.
 */
import { header, type RawPairs, type WholeBody } from '../../../core/call.ts'
import { JOINED_BYTES } from '../../../core/chunks.ts'
import { GatewayError } from '../../../core/errors.ts'
import type { PeerCertificate } from '../../../core/peer-certificate.ts'
import type { Fields } from '../../../core/reply.ts'
import type { Signal } from '../../../lib/cancel.ts'
import { Condition } from '../../../lib/condition.ts'
import type { HeadNotes, HttpExchange } from '../../exchange/exchange.ts'
import { type Framing, fieldLines, lastChunk, replyHead } from '../../exchange/reply-head.ts'
import { BodyBuffer, tooLarge } from '../../http/body.ts'
import { CHUNK_PROBE, INTERIM_PROBE } from '../half-closed.ts'
import { MAX_HELD_BYTES } from './bounds.ts'
import type { RequestHead } from './head.ts'
import { retained } from './receive-buffer.ts'
import type { SocketWriter } from './socket-writer.ts'

const HIGH_WATER_BYTES = 256 * 1024
/** A body of up to this length that has arrived is not streamed. */
const SHORT_BYTES = 64 * 1024

/** The part of a connection that a request needs to be answered. */
export interface ResponseWriter {
  readonly peer: string
  readonly certificate?: PeerCertificate | undefined
  /** Makes the id of a request that has none of its own. */
  mintId(): string
  /** The field lines about the connection for the next answer; `last`: the connection must end with it. */
  connectionFields(last: boolean): string
  /** Writes a head, and the body if there is one. */
  send(head: string, body: Uint8Array | undefined): void
  /** For a body that streams. */
  readonly out: Pick<SocketWriter, 'pass' | 'drained'>
  /** The answer is complete. */
  answered(): void
  cut(): void
  pause(): void
  resume(): void
}

const OPEN = 0
const STREAMING = 1
const DONE = 2

/** The head of a placeholder request, which stands for answers that are not written to the socket yet. */
const ANSWERED_HEAD: RequestHead = {
  method: 'HEAD',
  target: '',
  headers: [],
  host: '',
  length: 0,
  bytes: 0,
  text: '',
  requestId: '',
  notes: {},
}

export class FastRequest implements HttpExchange {
  readonly door = 'fast'
  readonly method: string
  readonly target: string
  readonly headers: RawPairs
  readonly host: string
  readonly notes: HeadNotes
  readonly length: number
  onAbort: (() => void) | undefined
  status = 0
  readonly #writer: ResponseWriter
  #state = OPEN
  #framing: number | 'chunked' | 'none' = 'none'
  /** Pieces that have arrived and are not read yet. */
  #chunks: Uint8Array[] = []
  /** Replaces `chunks` while the reader waits for the whole body. */
  #gather: BodyBuffer | undefined
  #queued = 0
  #requestId: string
  #missing: number
  #streams = false
  #unwanted = false
  #paused = false
  #broken: GatewayError | undefined
  readonly #changed = new Condition()

  constructor(writer: ResponseWriter, head: RequestHead) {
    this.#writer = writer
    this.method = head.method
    this.target = head.target
    this.headers = head.headers
    this.host = head.host
    this.notes = head.notes
    this.#requestId = head.requestId
    this.length = head.length
    this.#missing = head.length
  }

  /** A request that was answered without a call. */
  static answered(writer: ResponseWriter, head = ANSWERED_HEAD): FastRequest {
    const request = new FastRequest(writer, head)
    request.#missing = 0
    request.markAnswered()
    return request
  }

  /** Marks the request as answered without a call. */
  markAnswered(): void {
    this.#state = DONE
    this.#chunks = []
  }

  get peer(): string {
    return this.#writer.peer
  }

  get requestId(): string {
    this.#requestId ||= this.#writer.mintId()
    return this.#requestId
  }

  get certificate(): PeerCertificate | undefined {
    return this.#writer.certificate
  }

  /** Every byte of the body has arrived. */
  get isComplete(): boolean {
    return this.#missing === 0
  }

  /** How many bytes of the body are missing, if anybody wants them. */
  get wanted(): number {
    return this.#unwanted ? 0 : this.#missing
  }

  get isBodyHere(): boolean {
    return this.#missing === 0 && this.length <= SHORT_BYTES
  }

  get isAnswered(): boolean {
    return this.#state === DONE
  }

  /** The body streams. */
  get isStreamed(): boolean {
    return this.#streams
  }

  /** Reading is paused, because the reader of the body is slow. */
  get isHeld(): boolean {
    return this.#paused
  }

  /** The pieces of the body that have arrived and are not read yet. */
  get chunks(): readonly Uint8Array[] {
    return this.#chunks
  }

  /** Takes the bytes that belong to the body, and returns the others. */
  take(bytes: Buffer): Buffer | undefined {
    if (this.#missing === 0) return bytes
    const own = bytes.length <= this.#missing ? bytes : bytes.subarray(0, this.#missing)
    this.#missing -= own.length
    if (this.#gather) this.#gather.push(retained(own))
    else if (!this.#unwanted) {
      this.#chunks.push(retained(own))
      this.#queued += own.length
      // One that nobody reads yet: its caller is still being identified.
      const isSlow = this.#streams || this.length > MAX_HELD_BYTES
      if (isSlow && this.#queued > HIGH_WATER_BYTES && this.#missing > 0 && !this.#paused) {
        this.#paused = true
        this.#writer.pause()
      }
    }
    this.#changed.notify()
    return own === bytes ? undefined : bytes.subarray(own.length)
  }

  /** The rest of the body will not arrive. */
  breakOff(fault: GatewayError): void {
    this.#broken ??= fault
    this.#changed.notify()
  }

  /** Writes what the client must read over, where the answer is at a point that allows it: see `HalfClosed`. */
  probe(): void {
    if (this.#state === OPEN) this.#writer.send(INTERIM_PROBE, undefined)
    else if (this.#state === STREAMING && this.#framing === 'chunked')
      this.#writer.send(CHUNK_PROBE, undefined)
  }

  check(): void {
    // Only plain requests get here, and the head parser has checked them.
  }

  whole(maxBytes: number, signal: () => Signal): WholeBody | Promise<WholeBody> {
    if (this.length > maxBytes) throw tooLarge(maxBytes)
    const [only] = this.#chunks
    if (only && only.length === this.length && this.length <= JOINED_BYTES) return only
    const gather = new BodyBuffer()
    for (const chunk of this.#chunks) gather.push(chunk)
    return this.#missing === 0 ? gather.whole() : this.#rest(gather, signal())
  }

  async #rest(gather: BodyBuffer, signal: Signal): Promise<WholeBody> {
    this.#gather = gather
    this.#release()
    const aborted = () => this.#changed.notify()
    signal.addEventListener('abort', aborted, { once: true })
    try {
      while (this.#missing > 0) {
        if (signal.aborted) throw signal.reason
        if (this.#broken) throw this.#broken
        await this.#changed.wait()
      }
      return gather.whole()
    } finally {
      this.#gather = undefined
      signal.removeEventListener('abort', aborted)
    }
  }

  async *stream(maxBytes: number): AsyncGenerator<Uint8Array> {
    if (this.length > maxBytes) throw tooLarge(maxBytes)
    this.#streams = true
    try {
      for (;;) {
        const chunk = this.#chunks.shift()
        if (chunk) {
          this.#queued -= chunk.length
          if (this.#queued <= HIGH_WATER_BYTES / 2) this.#release()
          yield chunk
        } else if (this.#missing === 0) {
          return
        } else if (this.#broken) {
          throw this.#broken
        } else {
          await this.#changed.wait()
        }
      }
    } finally {
      this.#refuseRest()
    }
  }

  answer(status: number, common: Fields, own: RawPairs, body: Uint8Array): void {
    this.#claim()
    const bodiless = status === 204 || status === 304
    // The rest of the body must not be parsed as the next request.
    const connection = this.#writer.connectionFields(this.#missing > 0)
    common.lines ??= fieldLines(common.pairs)
    const { requestId } = this
    const framing: Framing = { length: bodiless ? 'none' : body.length, connection, requestId }
    const head = replyHead(status, own, framing, common.lines)
    this.status = status
    this.#state = STREAMING
    this.#writer.send(head, bodiless || this.method === 'HEAD' ? undefined : body)
    this.#finish()
  }

  answerText(
    status: number,
    head: (connection: string, requestId: string) => string,
    body: Uint8Array | undefined,
  ): void {
    this.#claim()
    const text = head(this.#writer.connectionFields(this.#missing > 0), this.requestId)
    this.status = status
    this.#state = STREAMING
    this.#writer.send(text, body)
    this.#finish()
  }

  begin(status: number, headers: RawPairs): void {
    this.#claim()
    const declared = header(headers, 'content-length')
    const length = declared === undefined ? undefined : Number(declared)
    const bodiless = this.method === 'HEAD' || status === 204 || status === 304
    const framing = bodiless ? 'none' : (length ?? 'chunked')
    const shown = status === 204 ? 'none' : (length ?? framing)
    // After an error the client need not send the rest of its body.
    const connection = this.#writer.connectionFields(status >= 400 && this.#missing > 0)
    const head = replyHead(status, headers, { length: shown, connection, requestId: this.requestId })
    this.#framing = framing
    this.status = status
    this.#state = STREAMING
    this.#writer.send(head, undefined)
  }

  write(chunk: Uint8Array): boolean {
    if (this.#state !== STREAMING) throw new Error('the answer has not begun, or is over')
    if (this.#framing === 'none' || chunk.length === 0) return true
    if (this.#framing === 'chunked') return this.#writer.out.pass(chunk, true)
    // Bytes beyond Content-Length would be read as the beginning of the next answer.
    if (chunk.length > this.#framing)
      throw new GatewayError('backendGarbled', 'the body is longer than its Content-Length')
    this.#framing -= chunk.length
    return this.#writer.out.pass(chunk, false)
  }

  drained(): Promise<void> {
    return this.#writer.out.drained()
  }

  end(trailers: RawPairs): void {
    if (this.#state !== STREAMING) throw new Error('the answer has not begun, or is over')
    if (this.#framing === 'chunked') this.#writer.send(lastChunk(trailers), undefined)
    else if (this.#framing !== 'none' && this.#framing > 0) return this.cut()
    this.#finish()
  }

  cut(): void {
    this.#state = DONE
    this.#writer.cut()
  }

  #claim(): void {
    if (this.#state !== OPEN) throw new Error('a request is answered once')
  }

  #finish(): void {
    this.#state = DONE
    this.#refuseRest()
    this.#writer.answered()
  }

  /** Nobody wants the rest of the body. */
  #refuseRest(): void {
    this.#unwanted = true
    this.#chunks = []
    this.#queued = 0
    this.#release()
  }

  #release(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#writer.resume()
  }
}
