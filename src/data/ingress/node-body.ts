/** The body of one request at the node:http door, with its deadline: collected, streamed or discarded. */
import type { IncomingMessage } from 'node:http'
import type { WholeBody } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Signal } from '../../lib/cancel.ts'
import { type Timer, timer, type Wheel } from '../../lib/wheel.ts'
import { type Flow, Incoming } from '../backend/incoming.ts'
import { BodyBuffer, bodyTooLate, tooLarge } from '../http/body.ts'

/** The reader of a body; `end` or `fail` is called once. */
interface BodyReader {
  readonly maxBytes: number
  push(chunk: Buffer): void
  end(): void
  fail(error: Error): void
}

export class HttpBody implements Flow {
  readonly #request: IncomingMessage
  readonly #wheel: Wheel
  readonly #timeoutMs: number
  readonly #timer: Timer
  #reader: BodyReader | undefined
  #broken: Error | undefined
  #bytes = 0
  /** Of the chunks so far, those that are to come among them. */
  #announced = 0
  #isRead = false
  /** A body that streams may take as long as the call, but there is a timeout between two pieces. */
  #isStreamed = false

  /** `timeoutMs`: for the whole body to arrive, or, if it streams, between two pieces. */
  constructor(request: IncomingMessage, wheel: Wheel, timeoutMs: number) {
    this.#request = request
    this.#wheel = wheel
    this.#timeoutMs = timeoutMs
    this.#timer = timer(() => this.breakOff(bodyTooLate()))
  }

  /** The whole body was read. */
  get isRead(): boolean {
    return this.#isRead
  }

  whole(maxBytes: number, signal: Signal): Promise<WholeBody> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const gather = new BodyBuffer()
      const onAbort = () => this.#end(signal.reason)
      signal.addEventListener('abort', onAbort, { once: true })
      const settle = (finish: () => void) => {
        signal.removeEventListener('abort', onAbort)
        finish()
      }
      this.#read({
        maxBytes,
        push: (chunk) => gather.push(chunk),
        end: () => settle(() => resolve(gather.whole())),
        fail: (error) => settle(() => reject(error)),
      })
    })
  }

  stream(maxBytes: number): Incoming {
    this.#isStreamed = true
    const incoming = new Incoming(this, () => {})
    this.#read({
      maxBytes,
      push: (chunk) => incoming.push(chunk),
      end: () => incoming.end([]),
      fail: (error) => incoming.fail(error),
    })
    return incoming
  }

  pause(): void {
    this.#request.pause()
    this.#wheel.disarm(this.#timer)
  }

  resume(): void {
    this.#request.resume()
    // The sender was held back: its timeout begins anew.
    if (this.#reader) this.#wheel.arm(this.#timer, this.#timeoutMs)
  }

  /** The reader does not want the rest. */
  abort(reason: Error): void {
    this.#end(reason)
  }

  /** The rest of the body will not arrive. */
  breakOff(fault: Error): void {
    this.#broken ??= fault
    this.#end(fault)
  }

  /** A chunk of so many bytes is to come. */
  announce(bytes: number): void {
    this.#announced += bytes
    const reader = this.#reader
    if (reader && this.#announced > reader.maxBytes) this.#end(tooLarge(reader.maxBytes))
  }

  /** Drops the rest of the body as it arrives; `onBytes` counts it. */
  discard(onBytes: (bytes: number) => void): void {
    this.#end(new GatewayError('callerLeft', 'the call has been answered'))
    this.#request.on('data', (chunk: Buffer) => onBytes(chunk.length)).resume()
  }

  #read(reader: BodyReader): void {
    this.#reader = reader
    if (this.#broken) return this.#end(this.#broken)
    if (this.#announced > reader.maxBytes) return this.#end(tooLarge(reader.maxBytes))
    this.#request.on('data', this.#onData).on('end', this.#onEnd)
    this.#request.on('error', this.#onBroken).on('close', this.#onBroken)
    this.#wheel.arm(this.#timer, this.#timeoutMs)
  }

  readonly #onData = (chunk: Buffer): void => {
    const reader = this.#reader as BodyReader
    this.#bytes += chunk.length
    if (this.#bytes > reader.maxBytes) return this.#end(tooLarge(reader.maxBytes))
    if (this.#isStreamed) this.#wheel.arm(this.#timer, this.#timeoutMs)
    reader.push(chunk)
  }

  readonly #onEnd = (): void => {
    this.#isRead = true
    this.#end(undefined)
  }

  readonly #onBroken = (): void =>
    this.#end(new GatewayError('callerLeft', 'the client left before its body was complete'))

  /** Ends the reading, and calls the reader's `end` or `fail`. */
  #end(error: Error | undefined): void {
    const reader = this.#reader
    if (!reader) return
    this.#reader = undefined
    this.#wheel.disarm(this.#timer)
    this.#request.off('data', this.#onData).off('end', this.#onEnd)
    this.#request.off('error', this.#onBroken).off('close', this.#onBroken)
    if (!error) return reader.end()
    this.#request.pause()
    reader.fail(error)
  }
}
