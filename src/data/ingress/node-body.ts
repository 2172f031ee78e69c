/** The body of one request that node:http or node:http2 reads, with its deadline: collected, streamed or discarded. */
import type { Readable } from 'node:stream'
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
  readonly #request: Readable
  readonly #isCut: () => boolean
  readonly #wheel: Wheel
  readonly #timeoutMs: number
  readonly #timer: Timer
  #reader: BodyReader | undefined
  #broken: Error | undefined
  #bytes = 0
  /** Of the chunks so far, those that are to come among them. */
  #announced = 0
  #isRead = false
  /** What was read ahead. */
  #held: Buffer[] = []
  /** A body that streams may take as long as the call, but there is a timeout between two pieces. */
  #isStreamed = false

  /**
   * `timeoutMs`: for the whole body to arrive, or, if it streams, between two pieces. `isCut`: whether a body that has ended did
   * so before it was complete.
   */
  constructor(request: Readable, wheel: Wheel, timeoutMs: number, isCut = () => false) {
    this.#request = request
    this.#isCut = isCut
    this.#wheel = wheel
    this.#timeoutMs = timeoutMs
    this.#timer = timer(() => this.breakOff(bodyTooLate()))
  }

  /** The whole body was read. */
  get isRead(): boolean {
    return this.#isRead
  }

  /**
   * Reads ahead, before anybody asks for the body. `done` gets all of it, once it is there; undefined: it is longer than `maxBytes`,
   * or will not arrive, which its reader will be told.
   */
  hold(maxBytes: number, done: (pieces: readonly Buffer[] | undefined) => void): void {
    const held = this.#held
    const reader: BodyReader = {
      maxBytes: Number.POSITIVE_INFINITY,
      push: (chunk) => {
        held.push(chunk)
        if (this.#bytes <= maxBytes) return
        this.#stop()
        done(undefined)
      },
      end: () => done(held),
      fail: (error) => {
        this.#broken = error
        done(undefined)
      },
    }
    this.#read(reader)
  }

  /** The whole body, if it was read ahead; throws `bodyTooLarge`. */
  held(maxBytes: number): WholeBody | undefined {
    if (!this.#isRead) return undefined
    if (this.#bytes > maxBytes) throw tooLarge(maxBytes)
    const gather = new BodyBuffer()
    for (const chunk of this.#held) gather.push(chunk)
    return gather.whole()
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
    const held = this.#held
    this.#held = []
    if (this.#bytes > reader.maxBytes) return this.#end(tooLarge(reader.maxBytes))
    for (const chunk of held) reader.push(chunk)
    if (this.#isRead) return this.#end(undefined)
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
    if (this.#isCut()) return this.#onBroken()
    this.#isRead = true
    this.#end(undefined)
  }

  readonly #onBroken = (): void =>
    this.#end(new GatewayError('callerLeft', 'the client left before its body was complete'))

  /** Ends the reading, and calls the reader's `end` or `fail`. */
  #end(error: Error | undefined): void {
    const reader = this.#reader
    if (!reader) return
    this.#stop()
    if (!error) return reader.end()
    this.#request.pause()
    reader.fail(error)
  }

  /** Reads no more for the present reader. */
  #stop(): void {
    this.#reader = undefined
    this.#wheel.disarm(this.#timer)
    this.#request.off('data', this.#onData).off('end', this.#onEnd)
    this.#request.off('error', this.#onBroken).off('close', this.#onBroken)
  }
}
