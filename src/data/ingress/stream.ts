/**
 * Writes an answer whose body streams, with an idle timeout. Until the head of its answer arrives a call is bound by
 * `routes[].timeout`; a stream may then go on without limit while bytes flow. Bytes in both directions count: a client that
 * still sends its request, or reads slowly, is not idle.
 */
import type { RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Reply } from '../../core/reply.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { HttpExchange } from '../exchange/exchange.ts'
import { forwardedTrailers } from '../http/headers.ts'

/** The idle timeout of a route that sets none. */
const IDLE_MS = 60_000

export interface StreamTimes {
  /** The most milliseconds between two pieces. */
  readonly idleMs: number | undefined
  /** The caller's own deadline in monotonic milliseconds; Infinity: it sent none. */
  readonly until: number
  /** Sets the timer of the call anew. */
  readonly arm: (ms: number, now: number) => void
  readonly now: () => number
}

export class AnswerStream {
  readonly #exchange: HttpExchange
  readonly #times: StreamTimes
  readonly #idleMs: number
  /** Of the two bodies, as far as they went through. */
  bytesIn = 0
  bytesOut = 0
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

  /** Writes a streaming body as fast as the client reads. Rejects with the error that ends it early. */
  async pass({ status, body, trailers }: Reply, headers: RawPairs, signal: Signal): Promise<void> {
    const exchange = this.#exchange
    const pieces = body instanceof Uint8Array ? [body] : await opened(body)
    if (signal.aborted) throw signal.reason
    exchange.begin(status, headers)
    this.#hasBegun = true
    this.#moved()
    for await (const chunk of pieces) {
      if (signal.aborted) throw signal.reason
      this.bytesOut += chunk.length
      this.#isHeld = !exchange.write(chunk)
      if (this.#isHeld) await exchange.drained()
      this.#isHeld = false
      this.#moved()
    }
    if (signal.aborted) throw signal.reason
    exchange.end(forwardedTrailers(trailers?.() ?? []))
  }

  /** Passes the request's body on, and counts its pieces as activity. */
  async *requestBody(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      this.bytesIn += chunk.length
      if (this.#hasBegun) this.#moved()
      yield chunk
    }
  }

  /** The fault to end the stream with when the timer fires. */

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

/** Discards an answer that came after the deadline: cancels its body. */
export function discard({ body }: Reply): void {
  if (body instanceof Uint8Array) return
  const first = async () => {
    for await (const _chunk of body) break
  }
  first().catch(() => {})
}
