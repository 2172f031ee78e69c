/**
 * An answer whose body streams, and the time it may stand still. Until its head is there a call has its whole time
 * (`routes[].timeout`); a stream that flows may then go on for as long as it likes, and only silence ends it. Both directions
 * count: who still sends the request's body, or reads slowly, is not silent.
 */
import type { RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Reply } from '../../core/reply.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { HttpExchange } from '../exchange/exchange.ts'
import { forwardedTrailers } from '../http/headers.ts'

/** Where a route does not say. */
const IDLE_MS = 60_000

export interface StreamTimes {
  /** Milliseconds between two pieces at most. */
  readonly idleMs: number | undefined
  /** Monotonic milliseconds after which the caller itself does not wait; Infinity: it did not say. */
  readonly until: number
  /** Sets the deadline of the call anew. */
  readonly arm: (ms: number, now: number) => void
  readonly now: () => number
}

export class AnswerStream {
  readonly #exchange: HttpExchange
  readonly #times: StreamTimes
  readonly #idleMs: number
  #hasBegun = false
  /** The client has not read what was written. */
  #isHeld = false

  constructor(exchange: HttpExchange, times: StreamTimes) {
    this.#exchange = exchange
    this.#times = times
    this.#idleMs = times.idleMs ?? IDLE_MS
  }

  get hasBegun(): boolean {
    return this.#hasBegun
  }

  /** A body that streams is written as fast as the client reads. Rejects with what ends it before its end. */
  async pass({ status, body, trailers }: Reply, headers: RawPairs, signal: Signal): Promise<void> {
    const exchange = this.#exchange
    const pieces = body instanceof Uint8Array ? [body] : await opened(body)
    if (signal.aborted) throw signal.reason
    exchange.begin(status, headers)
    this.#hasBegun = true
    this.#moved()
    for await (const chunk of pieces) {
      if (signal.aborted) throw signal.reason
      this.#isHeld = !exchange.write(chunk)
      if (this.#isHeld) await exchange.drained()
      this.#isHeld = false
      this.#moved()
    }
    if (signal.aborted) throw signal.reason
    exchange.end(forwardedTrailers(trailers?.() ?? []))
  }

  /** The request's body while it is passed on. */
  async *requestBody(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      if (this.#hasBegun) this.#moved()
      yield chunk
    }
  }

  /** Why it is to end, now that its time is up. */
  fault(): GatewayError {
    const seconds = `${this.#idleMs} ms (routes[].idleTimeout)`
    if (this.#times.now() >= this.#times.until)
      return new GatewayError('deadline', 'the answer was not complete in the time that the caller allows')
    if (this.#isHeld) return new GatewayError('callerLeft', `the client has read nothing for ${seconds}`)
    return new GatewayError('deadline', `nothing more of the answer came within ${seconds}`)
  }

  #moved(): void {
    const { now: clock, until, arm } = this.#times
    const now = clock()
    arm(Math.min(this.#idleMs, until - now), now)
  }
}

/**
 * Its pieces, a turn later: a body that came broken along with its head has thrown by then, while an error can still be the
 * answer. What is to come is not waited for.
 */
async function opened(body: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const pieces = body[Symbol.asyncIterator]()
  const first = pieces.next()
  await Promise.race([first, new Promise((resolve) => setImmediate(resolve))])
  return from(first, pieces)
}

async function* from(
  first: Promise<IteratorResult<Uint8Array>>,
  pieces: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let next = await first; !next.done; next = await pieces.next()) yield next.value
  } finally {
    await pieces.return?.()
  }
}
