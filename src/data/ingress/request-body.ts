/** The body of one request, with its deadline: collected, streamed or discarded, whatever it is read from. */
import type { WholeBody } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { BufferList } from '../../lib/buffer-list.ts'
import type { Signal } from '../../lib/cancel.ts'
import { type Timer, timer, type Wheel } from '../../lib/wheel.ts'
import { type Flow, Incoming } from '../backend/incoming.ts'
import { BodyBuffer, bodyTooLate, tooLarge } from '../http/body.ts'

/** Where a body comes from. It calls `push`, then `end` or `breakOff`. */
export interface RequestSource {
  /** Somebody reads from now on. */
  start(): void
  /** Nobody reads any more; `isEarly`: the body has not ended. */
  stop(isEarly: boolean): void
  pause(): void
  resume(): void
}

/** The reader of a body; `end` or `fail` is called once. */
interface BodyReader {
  readonly maxBytes: number
  push(chunk: Uint8Array): void
  end(): void
  fail(error: Error): void
}

export class RequestBody implements Flow {
  readonly #source: RequestSource
  readonly #wheel: Wheel
  readonly #timeoutMs: number
  readonly #timer: Timer
  #reader: BodyReader | undefined
  #broken: Error | undefined
  #bytes = 0
  /** Of the chunks so far, those that are to come among them. */
  #announced = 0
  /** What came before somebody asked for it. */
  #held = new BufferList()
  #isRead = false
  /** A body that streams may take as long as the call, but there is a timeout between two pieces. */
  #isStreamed = false

  /** `timeoutMs`: for the whole body to arrive, or, if it streams, between two pieces. */
  constructor(source: RequestSource, wheel: Wheel, timeoutMs: number) {
    this.#source = source
    this.#wheel = wheel
    this.#timeoutMs = timeoutMs
    this.#timer = timer(() => this.breakOff(bodyTooLate()))
  }

  /** All of it has arrived. */
  get isRead(): boolean {
    return this.#isRead
  }

  push(chunk: Uint8Array): void {
    this.#bytes += chunk.length
    const reader = this.#reader
    if (!reader) return this.#held.push(chunk)
    if (this.#bytes > reader.maxBytes) return this.#end(tooLarge(reader.maxBytes))
    if (this.#isStreamed) this.#wheel.arm(this.#timer, this.#timeoutMs)
    reader.push(chunk)
  }

  end(): void {
    this.#isRead = true
    this.#end(undefined)
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

  /**
   * Reads ahead, before anybody asks for the body. `done` gets all of it, once it is there; undefined: it is longer than `maxBytes`,
   * or will not arrive, which its reader will be told.
   */
  hold(maxBytes: number, done: (pieces: readonly Uint8Array[] | undefined) => void): void {
    const held = new BufferList()
    this.#read({
      maxBytes: Number.POSITIVE_INFINITY,
      push: (chunk) => {
        held.push(chunk)
        if (this.#bytes <= maxBytes) return
        this.#stop(false)
        this.#held = held
        done(undefined)
      },
      end: () => {
        this.#held = held
        done(held.pieces())
      },
      fail: (error) => {
        this.#broken = error
        done(undefined)
      },
    })
  }

  /** The whole body, if it is here; throws `bodyTooLarge`. */
  here(maxBytes: number): WholeBody | undefined {
    if (!this.#isRead) return undefined
    if (this.#bytes > maxBytes) throw tooLarge(maxBytes)
    const gather = new BodyBuffer()
    for (const chunk of this.#held.pieces()) gather.push(chunk)
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
    this.#source.pause()
    this.#wheel.disarm(this.#timer)
  }

  resume(): void {
    this.#source.resume()
    // The sender was held back: its timeout begins anew.
    if (this.#reader) this.#wheel.arm(this.#timer, this.#timeoutMs)
  }

  /** The reader does not want the rest. */
  abort(reason: Error): void {
    this.#end(reason)
  }

  /** Nobody wants the rest. */
  discard(): void {
    this.#held = new BufferList()
    // Most bodies have no reader any more, and the stack of an error is dear.
    if (this.#reader) this.#end(new GatewayError('callerLeft', 'the call has been answered'))
  }

  #read(reader: BodyReader): void {
    this.#reader = reader
    const held = this.#held.pieces()
    this.#held = new BufferList()
    if (this.#broken) return this.#end(this.#broken)
    if (this.#bytes > reader.maxBytes || this.#announced > reader.maxBytes)
      return this.#end(tooLarge(reader.maxBytes))
    for (const chunk of held) if (this.#reader === reader) reader.push(chunk)
    if (this.#reader !== reader) return
    if (this.#isRead) return this.#end(undefined)
    this.#source.start()
    this.#wheel.arm(this.#timer, this.#timeoutMs)
  }

  /** Ends the reading, and calls the reader's `end` or `fail`. */
  #end(error: Error | undefined): void {
    const reader = this.#reader
    if (!reader) return
    this.#stop(error !== undefined)
    if (error) reader.fail(error)
    else reader.end()
  }

  #stop(isEarly: boolean): void {
    this.#reader = undefined
    this.#wheel.disarm(this.#timer)
    this.#source.stop(isEarly)
  }
}
