/**
 * The life of one call, backend side. Read this file second.
 *
 *   place at a backend (or wait for one) → send → head → (collect) → answer
 *                      ├─ late: the same to another, the first good answer counts
 *                      └─ failed or refused, and safe to repeat → another, within the budget
 *
 * A repeat is safe when nothing was sent, or when the call is a pure prediction of a known dialect; and only
 * while no byte of an answer has gone to the client. Everything else fails with what the backend said.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Body, type Call, isWhole, modelName } from '../core/call.ts'
import type { Observer } from '../core/observer.ts'
import { Cancel, type Signal } from '../lib/cancel.ts'
import type { Clock } from '../lib/clock.ts'
import { createAttempt, discard, LOSER } from './attempt.ts'
import type { BackendPool } from './backend/pool.ts'
import { Replay } from './backend/replay.ts'
import type { Need, Seat } from './backend/seat.ts'
import { retryDelayMs } from './balance/retry-budget.ts'
import { firstTokenWithin } from './deadlines.ts'
import type { Matched } from './ingress/routes.ts'
import { isPure, repeatable, retryAfterMs } from './repeat.ts'
import type { Delivered, Dispatch, Result, Shipment } from './shipment.ts'

const REPLAY_BYTES = 1024 * 1024

export interface DispatchParts {
  readonly pool: (name: string) => BackendPool
  readonly observer: Observer
  readonly clock: Clock
  readonly random: () => number
  readonly stalled: () => number
}

interface Passage {
  readonly call: Call
  readonly matched: Matched
  readonly shipment: Shipment
}

export function createDispatch(parts: DispatchParts): Dispatch {
  const { observer, clock, random, stalled } = parts
  const attempt = createAttempt({ observer, clock, stalled })

  return async function dispatch(call, matched, shipment) {
    const began = clock.now()
    const pool = parts.pool(matched.route.pool)
    const delivered = await deliver(pool, { call, matched, shipment })
    if (delivered.reply.status < 500) pool.demand.served(clock.now() - began)
    return delivered
  }

  async function deliver(pool: BackendPool, { call, matched, shipment }: Passage): Promise<Delivered> {
    const { key, signal } = shipment
    const { version } = matched.target
    const asked = clock.now()
    const deadline = Math.min(call.deadline, asked + (firstTokenWithin(call.headers) ?? Infinity))
    const need: Need = { model: modelName(matched.target), version, key, deadline, signal }
    const body = replayable(shipment.body)
    const tried: number[] = []
    pool.deposit()

    for (let turn = 0; ; turn++) {
      const seat = await pool.enter(need, tried)
      tried.push(seat.backend.slot)
      const send = (at: Seat, until: Signal) =>
        attempt(call, { ...shipment, body: body.read(), signal: until }, { pool, seat: at, asked })
      // Only a call whose body is at hand can be sent twice at a time.
      const late = isPure(matched) && !body.streams ? pool.hedgeDelay(need) : undefined
      const result =
        late === undefined ? await send(seat, signal) : await hedged({ pool, need, tried, seat, late, send })

      const pause = retryAfterMs(result)
      // Who answered may be the second of two.
      if (pause !== undefined && 'reply' in result) pool.pause(result.backend.slot, pause)
      const again = turn < pool.maxRetries && body.again() && repeatable(result, matched, turn)
      if (!again || !hasTime(pool, call, signal) || !pool.mayRetry()) return finished(result)

      // A reply is an answer, if a bad one: it is given up only for somebody who may do better at once.
      if (!pool.hasOther(need, tried)) {
        if ('reply' in result) return finished(result)
        tried.length = 0
        await sleep(retryDelayMs(turn, random))
        if (!hasTime(pool, call, signal)) return finished(result)
      }
      discard(result)
      observer.retried(pool.name, 'reply' in result ? `status ${result.reply.status}` : result.failure.code)
    }
  }

  interface Hedge {
    readonly pool: BackendPool
    readonly need: Need
    readonly tried: number[]
    readonly seat: Seat
    readonly late: number
    readonly send: (seat: Seat, until: Signal) => Promise<Result>
  }

  /** The call is sent once more when it is later than most; the first good answer counts, the other is cut. */
  async function hedged({ pool, need, tried, seat, late, send }: Hedge): Promise<Result> {
    const cuts = [Cancel.following(need.signal), Cancel.following(need.signal)] as const
    const first = send(seat, cuts[0])
    const early = await Promise.race([first, sleep(late, undefined, { ref: false })])
    if (early) return early
    const other = pool.mayHedge() ? pool.enterExtra(need, tried) : undefined
    if (!other) return first
    tried.push(other.backend.slot)
    const second = send(other, cuts[1])
    const [winner, at] = await firstGood([first, second])
    pool.hedged(at === 1)
    observer.hedged(pool.name, at === 1 ? 'won' : 'lost')
    cuts[at === 1 ? 0 : 1].abort(LOSER)
    return winner
  }

  /** Whether another try could still be in time: half of them take no longer than the median. */
  function hasTime(pool: BackendPool, { deadline }: Call, signal: Signal): boolean {
    return clock.now() + (pool.serviceMs(0.5) ?? 0) < deadline && !signal.aborted
  }
}

/** The first result that is an answer, with its place; the last one where none is. The loser is let go. */
async function firstGood(tries: readonly [Promise<Result>, Promise<Result>]): Promise<[Result, number]> {
  const [result, at] = await Promise.race(tries.map(async (attempt, i) => [await attempt, i] as const))
  const isGood = 'reply' in result && result.reply.status < 500 && result.reply.status !== 429
  const other = tries[1 - at] as Promise<Result>
  if (isGood) {
    void other.then(discard)
    return [result, at]
  }
  const last = await other
  if ('reply' in last) {
    discard(result)
    return [last, 1 - at]
  }
  return [result, at]
}

function finished(result: Result): Delivered {
  if ('failure' in result) throw result.failure
  return result
}

function replayable(body: Body | undefined) {
  if (body === undefined || isWhole(body)) return { streams: false, read: () => body, again: () => true }
  const replay = new Replay(body, REPLAY_BYTES)
  return { streams: true, read: () => replay.read(), again: () => replay.replayable }
}
