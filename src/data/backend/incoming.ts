/**
 * The body of a backend's answer while it arrives: a bounded queue between the backend's socket and the reader. A slow
 * reader pauses the socket; a reader that stops cancels the exchange.
 */
import type { Body, RawPairs } from '../../core/call.ts'
import { BufferList } from '../../lib/buffer-list.ts'
import { Condition } from '../../lib/condition.ts'
import { SharedBodyReader } from './shared-body.ts'

const HIGH_WATER_BYTES = 256 * 1024

/** What the reader needs of the connection. */
export interface Flow {
  pause(): void
  resume(): void
  abort(reason: Error): void
}

/** Most bodies are only read. */
const NOBODY: readonly never[] = []

export class Incoming implements AsyncIterable<Uint8Array> {
  /** A sender may cut its body into single bytes. */
  #queue = new BufferList()
  #ended = false
  #error: Error | undefined
  #trailers: RawPairs = []
  #paused = false
  #onFirst: (() => void) | undefined
  #watchers: readonly ((piece: Uint8Array) => void)[] = NOBODY
  readonly #changed = new Condition()
  readonly #flow: Flow
  readonly #closed: (error: Error | undefined) => void

  /** `closed` is called once: when the last byte has arrived, or with the error that ended the exchange. */
  constructor(flow: Flow, closed: (error: Error | undefined) => void) {
    this.#flow = flow
    this.#closed = closed
  }

  get trailers(): RawPairs {
    return this.#trailers
  }

  /** The last byte has arrived without an error. */
  get isComplete(): boolean {
    return this.#ended && this.#error === undefined
  }

  /** Calls `run` when the first piece has arrived; at once if it has. */
  whenBegun(run: () => void): void {
    if (this.#queue.length > 0) run()
    else this.#onFirst = run
  }

  /** Calls `run` with each piece as it arrives, whoever reads the body; at once with those that are there. Several may watch. */
  watch(run: (piece: Uint8Array) => void): void {
    for (const piece of this.#queue.pieces()) run(piece)
    this.#watchers = [...this.#watchers, run]
  }

  push(chunk: Uint8Array): void {
    // undici pushes an empty chunk with every resumption; counted as data, it would pause the socket for good.
    if (chunk.length === 0) return
    this.#queue.push(chunk)
    this.#onFirst?.()
    this.#onFirst = undefined
    for (const run of this.#watchers) run(chunk)
    if (this.#queue.length > HIGH_WATER_BYTES && !this.#paused) {
      this.#paused = true
      this.#flow.pause()
    }
    this.#changed.notify()
  }

  end(trailers: RawPairs): void {
    if (this.#ended) return
    this.#ended = true
    this.#trailers = trailers
    this.#closed(undefined)
    this.#changed.notify()
  }

  fail(error: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#closed(error)
    this.#changed.notify()
  }

  /** The reader stops: the exchange is aborted, at the backend as well. */
  cancel(reason: Error): void {
    if (this.#ended) return
    this.fail(reason)
    this.#queue = new BufferList()
    this.#flow.abort(reason)
  }

  /** Reads a short rest that nobody wants, so that the connection can be reused; cancels a long one. */
  async discard(): Promise<void> {
    try {
      const { complete } = await this.collect(HIGH_WATER_BYTES)
      if (!complete) this.cancel(LEFT)
    } catch {
      // The exchange has ended by itself.
    }
  }

  /**
   * Reads to the end, up to `maxBytes`. A longer body can still be read from its beginning: nothing is consumed, and
   * `complete` is false.
   */
  async collect(maxBytes: number): Promise<{ readonly complete: boolean; readonly bytes: Uint8Array }> {
    while (!this.#ended) {
      if (this.#queue.length > maxBytes) return { complete: false, bytes: EMPTY }
      // Collecting must not stall on the pause that protects against slow readers; the next chunk may pause again.
      if (this.#paused) this.#resume()
      else await this.#changed.wait()
    }
    if (this.#error) throw this.#error
    if (this.#queue.length > maxBytes) return { complete: false, bytes: EMPTY }
    const bytes = this.#queue.joined()
    this.#queue = new BufferList()
    return { complete: true, bytes }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = this.#queue.shift()
        if (chunk) {
          if (this.#paused && this.#queue.length <= HIGH_WATER_BYTES / 2) this.#resume()
          yield chunk
        } else if (this.#ended) {
          if (this.#error) throw this.#error
          return
        } else {
          await this.#changed.wait()
        }
      }
    } finally {
      this.cancel(LEFT)
    }
  }

  #resume(): void {
    this.#paused = false
    this.#flow.resume()
  }
}

/** Like `Incoming.collect`, for a body that may be there already. */
export async function collected(
  body: Incoming | Uint8Array,
  maxBytes: number,
): Promise<{ readonly complete: boolean; readonly bytes: Uint8Array }> {
  if (body instanceof Incoming) return body.collect(maxBytes)
  return body.length <= maxBytes ? { complete: true, bytes: body } : { complete: false, bytes: EMPTY }
}

/** Releases a body that nobody reads. */
export function letGo(body: Body | undefined): void {
  if (body instanceof Incoming) void body.discard()
  else if (body instanceof SharedBodyReader) body.leave()
}

const EMPTY = new Uint8Array(0)
const LEFT = new Error('the reader left')
