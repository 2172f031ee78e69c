/**
 * The admission queue of a pool, where its calls wait. In the queue are calls that arrived while every backend was full. Held
 * are calls that arrived while the pool was at zero and its first backend was starting: they may wait until their own
 * deadlines, and none is shed, since a start takes longer than any overload should.
 */
import type { GatewayError } from '../../core/errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Capacity, type QueueEntry, type QueueOptions, WaitQueue } from '../balance/limits/queue.ts'
import type { Neighbours } from '../balance/policies/neighbours.ts'
import type { DemandMeter } from '../measure/demand.ts'
import type { Permit, PermitRequest } from './permit.ts'
import { dropped } from './refusals.ts'

export interface AdmissionQueueParts {
  readonly pool: string
  readonly clock: Pick<Clock, 'now'>
  readonly demand: DemandMeter
  readonly capacity: () => Capacity
  /** Publishes to the other workers since when a call waits here, and how many do. */
  readonly neighbours: Pick<Neighbours, 'tell' | 'queued'>
}

/** What a call waits for. */
export interface Wish {
  readonly need: PermitRequest
  readonly exclude: readonly number[]
}

export interface WaitingCall extends Wish {
  readonly queue: WaitQueue<WaitingCall>
  readonly resolve: (permit: Permit) => void
  readonly reject: (error: GatewayError) => void
  place: QueueEntry<WaitingCall> | undefined
}

export class WaitingRoom {
  readonly #parts: AdmissionQueueParts
  readonly #queue: WaitQueue<WaitingCall>
  readonly #held: WaitQueue<WaitingCall>
  /** How long the first held call waited the last time that a backend started. */
  #startupMs = 0

  constructor(parts: AdmissionQueueParts, options: QueueOptions) {
    this.#parts = parts
    const drop = (waiting: WaitingCall, why: Parameters<typeof dropped>[1]) => {
      if (why === 'late' && this.#hasGrown(waiting)) return
      waiting.reject(
        dropped(parts.pool, why, this.#isHeld(waiting) ? this.#startupMs : parts.capacity().meanServiceMs),
      )
    }
    this.#queue = new WaitQueue(drop, options)
    this.#held = new WaitQueue(drop, heldOptions(options))
  }

  configure(options: QueueOptions): void {
    this.#queue.configure(options)
    this.#held.configure(heldOptions(options))
  }

  get depth(): number {
    return this.#queue.depth + this.#held.depth
  }

  /** When the most urgent call arrived; undefined: none waits. */
  get since(): number | undefined {
    return this.#held.since ?? this.#queue.since
  }

  /** Publishes the state of the queue to the other workers. */
  tell(): void {
    this.#parts.neighbours.tell(this.since, this.depth)
  }

  /** To be called now and then: drops the calls that are due. */
  expire(): void {
    const now = this.#parts.clock.now()
    this.#queue.expire(now)
    this.#held.expire(now)
  }

  /** Resolves with a permit; rejects with `overloaded`, or the signal's reason. */
  wait(wish: Wish): Promise<Permit> {
    return this.#enter(wish, this.#queue)
  }

  /** The same, for a pool that has no backend yet. */
  hold(wish: Wish): Promise<Permit> {
    return this.#enter(wish, this.#held)
  }

  /** Takes the next call: held calls arrived first. */
  take(medianServiceMs: number): WaitingCall | undefined {
    const now = this.#parts.clock.now()
    const held = this.#held.take(now, 0)
    if (held?.place) this.#startupMs = now - held.place.cameAt
    return held ?? this.#queue.take(now, medianServiceMs)
  }

  /** Puts a call that could not be served back at its old place. */
  restore({ queue, place }: WaitingCall): void {
    if (place) queue.restore(place)
  }

  /** Whether the deadline has grown, because others with more time joined; the call then keeps its place until the new one. */
  #hasGrown(waiting: WaitingCall): boolean {
    const { need, place, queue } = waiting
    if (!place?.isDated || need.deadline <= place.due) return false
    waiting.place = queue.extend(place, need.deadline)
    return true
  }

  #isHeld({ queue }: WaitingCall): boolean {
    return queue === this.#held
  }

  #enter({ need, exclude }: Wish, queue: WaitQueue<WaitingCall>): Promise<Permit> {
    const { clock, demand, neighbours, pool } = this.#parts
    return new Promise((resolve, reject) => {
      let waited = () => {}
      const settle = (finish: () => void) => {
        waited()
        need.signal.removeEventListener('abort', left)
        finish()
      }
      const waiting: WaitingCall = {
        need,
        exclude,
        queue,
        resolve: (permit) => settle(() => resolve(permit)),
        reject: (error) => settle(() => reject(error)),
        place: undefined,
      }
      const left = () => {
        if (!waiting.place || !queue.remove(waiting.place)) return
        waited()
        this.tell()
        reject(need.signal.reason)
      }
      const isHeld = this.#isHeld(waiting)
      // Published before the check, so that two workers never both give away the last place in the queue.
      neighbours.tell(this.since, this.depth + 1)
      const entry = queue.enter(
        waiting,
        { deadline: need.deadline },
        {
          now: clock.now(),
          capacity: isHeld ? { ...UNKNOWN, elsewhere: neighbours.queued } : this.#parts.capacity(),
        },
      )
      if ('refused' in entry) {
        this.tell()
        return reject(dropped(pool, entry.refused, isHeld ? this.#startupMs : entry.retryAfterMs))
      }
      waiting.place = entry.place
      waited = demand.wait()
      this.tell()
      need.signal.addEventListener('abort', left, { once: true })
    })
  }
}

/** Nobody knows yet how fast the pool will be, so no call is refused for its estimated wait. */
const UNKNOWN: Capacity = { meanServiceMs: 0, medianServiceMs: 0, limits: 0, startupMs: 0 }

/** As many calls as may wait otherwise, for as long as their deadlines allow. */
function heldOptions({ maxDepth }: QueueOptions): QueueOptions {
  return { ...(maxDepth === undefined ? {} : { maxDepth }), maxWaitMs: Infinity, targetMs: Infinity }
}
