/** One attempt at one backend: from the place it was given to the end of the exchange, counted in between. */
import { type Call, header, headerAll, type RawPairs, upstreamMethod } from '../core/call.ts'
import { GatewayError } from '../core/errors.ts'
import type { Observer } from '../core/observer.ts'
import type { Reply } from '../core/reply.ts'
import type { Clock } from '../lib/clock.ts'
import type { Exchange } from './backend/clients.ts'
import { Incoming } from './backend/incoming.ts'
import type { BackendPool } from './backend/pool.ts'
import type { Seat } from './backend/seat.ts'
import type { Ending } from './balance/policy.ts'
import { remainingDeadline } from './deadlines.ts'
import type { Result, Shipment } from './shipment.ts'

export interface AttemptParts {
  readonly observer: Observer
  readonly clock: Clock
  /** Milliseconds in which this thread could not look, since some origin. */
  readonly stalled: () => number
}

interface At {
  readonly pool: BackendPool
  readonly seat: Seat
  /** When the call first asked for a place. */
  readonly asked: number
}

/** A cut hedge is no fault of the backend's. */
export const LOSER = new GatewayError('callerLeft', 'another backend was faster')

export function createAttempt({ observer, clock, stalled }: AttemptParts) {
  return async (call: Call, shipment: Shipment, { pool, seat, asked }: At): Promise<Result> => {
    const { backend } = seat
    const began = clock.now()
    const stalledBefore = stalled()
    const end = (ending: Ending | 'cancelled' | 'lost') => {
      const ms = clock.now() - began
      pool.leave(seat, Math.max(0, ms - (stalled() - stalledBefore)), ending)
      observer.attempted(pool.name, backend.id, ending === 'lost' ? 'cancelled' : ending, ms)
    }
    let exchange: Exchange
    try {
      const left = call.deadline - began
      exchange = await pool.clients.send({
        url: backend.url,
        method: upstreamMethod(call),
        target: call.path + call.query,
        headers: remainingDeadline(shipment.headers, { leftMs: left, spentMs: began - asked }),
        body: shipment.body,
        contentLength: shipment.contentLength,
        signal: shipment.signal,
        headTimeoutMs: left,
      })
    } catch (error) {
      const failure = asFault(error)
      end(endingOf(failure))
      return { failure }
    }
    const ms = clock.now() - began
    const { reply } = exchange
    void exchange.over.then((error) => end(error ? endingOf(asFault(error)) : endingOfStatus(reply.status)))
    if (shipment.collectBytes === 0 || isStream(reply.headers)) return { reply: inOne(reply), backend, ms }
    try {
      const { complete, bytes } = await reply.body.collect(shipment.collectBytes)
      return { reply: complete ? { ...reply, body: bytes } : reply, backend, ms }
    } catch (error) {
      return { failure: asFault(error) }
    }
  }
}

/** Lets go of an answer that nobody reads. */
export function discard(result: Result): void {
  if ('reply' in result && result.reply.body instanceof Incoming) void result.reply.body.discard()
}

/** A body that came with its head, to the end that the head tells, need not be passed on in pieces. */
function inOne(reply: Exchange['reply']): Reply {
  const length = Number(header(reply.headers, 'content-length') ?? 0)
  const bytes = length > 0 ? reply.body.arrived(length) : undefined
  return bytes ? { ...reply, body: bytes } : reply
}

/** Events are forwarded as they happen, also where the answer would be kept otherwise. */
function isStream(headers: RawPairs): boolean {
  return headerAll(headers, 'content-type').some((type) => /^text\/event-stream\b/i.test(type))
}

function asFault(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  return new GatewayError('internal', 'the gateway failed on this call', { cause: error })
}

function endingOf(failure: GatewayError): Ending | 'cancelled' | 'lost' {
  if (failure === LOSER) return 'lost'
  if (failure.code === 'callerLeft') return 'cancelled'
  return failure.code === 'deadline' || failure.code === 'backendTimeout' ? 'timeout' : 'error'
}

function endingOfStatus(status: number): Ending {
  if (status === 429 || status === 503) return 'overloaded'
  return status >= 500 ? 'error' : 'ok'
}
