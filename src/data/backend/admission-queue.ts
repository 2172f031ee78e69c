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
  readonly neighbours: Pick<Neighbours, 'publish' | 'queued'>
}

/** What a call waits for. */
export interface PermitWait {
  readonly need: PermitRequest
  readonly exclude: readonly number[]
}

export interface WaitingCall extends PermitWait {
  readonly queue: WaitQueue<WaitingCall>
  readonly resolve: (permit: Permit) => void
  readonly reject: (error: GatewayError) => void
  entry: QueueEntry<WaitingCall> | undefined
}

export class AdmissionQueue {
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
  publish(): void {
    this.#parts.neighbours.publish(this.since, this.depth)
  }

  /** To be called now and then: drops the calls that are due. */
  expire(): void {
    const now = this.#parts.clock.now()
    this.#queue.expire(now)
    this.#held.expire(now)
  }

  /** Resolves with a permit; rejects with `overloaded`, or the signal's reason. */
  wait(request: PermitWait): Promise<Permit> {
    return this.#enter(request, this.#queue)
  }

  /** The same, for a pool that has no backend yet. */
  hold(request: PermitWait): Promise<Permit> {
    return this.#enter(request, this.#held)
  }

  /** Takes the next call: held calls arrived first. */
  take(medianServiceMs: number): WaitingCall | undefined {
    const now = this.#parts.clock.now()
    const held = this.#held.take(now, 0)
    if (held?.entry) this.#startupMs = now - held.entry.arrivedAt
    return held ?? this.#queue.take(now, medianServiceMs)
  }

  /** Puts a call that could not be served back at its old place. */
  restore({ queue, entry }: WaitingCall): void {
    if (entry) queue.restore(entry)
  }

  /** Whether the deadline has grown, because others with more time joined; the call then keeps its place until the new one. */
  #hasGrown(waiting: WaitingCall): boolean {
    const { need, entry, queue } = waiting
    if (!entry?.isDated || need.deadline <= entry.due) return false
    waiting.entry = queue.extend(entry, need.deadline)
    return true
  }

  #isHeld({ queue }: WaitingCall): boolean {
    return queue === this.#held
  }

  #enter({ need, exclude }: PermitWait, queue: WaitQueue<WaitingCall>): Promise<Permit> {
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
        entry: undefined,
      }
      const left = () => {
        if (!waiting.entry || !queue.remove(waiting.entry)) return
        waited()
        this.publish()
        reject(need.signal.reason)
      }
      const isHeld = this.#isHeld(waiting)
      // Published before the check, so that two workers never both give away the last place in the queue.
      neighbours.publish(this.since, this.depth + 1)
      const result = queue.enter(
        waiting,
        { deadline: need.deadline },
        {
          now: clock.now(),
          capacity: isHeld ? { ...UNKNOWN, elsewhere: neighbours.queued } : this.#parts.capacity(),
        },
      )
      if ('refused' in result) {
        this.publish()
        return reject(dropped(pool, result.refused, isHeld ? this.#startupMs : result.retryAfterMs))
      }
      waiting.entry = result.entry
      waited = demand.wait()
      this.publish()
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
