/**
 * The admission queue of a pool, where its calls wait. In the queue are calls that arrived while every backend was full. Held
 * are calls that arrived while the pool was at zero and its first backend was starting: they may wait until their own
 * deadlines, and none is shed, since a start takes longer than any overload should.
 */
import type { GatewayError } from '../../core/errors.ts'
import type { WaitEnding } from '../../core/observer.ts'
import { EVERYBODY, type TenantShare } from '../../core/tenant-share.ts'
import type { Clock } from '../../lib/clock.ts'
import { type FairCapacity, FairQueue, type QueueBacklog } from '../balance/fair/fair-queue.ts'
import type { FairEntry } from '../balance/fair/flow.ts'
import { type Accounts, CLASSES } from '../balance/fair/share-table.ts'
import type { Dropped, QueueOptions } from '../balance/limits/queue.ts'
import type { Head, Neighbours } from '../balance/policies/neighbours.ts'
import type { DemandMeter } from '../measure/demand.ts'
import type { Permit, PermitRequest } from './permit.ts'
import { dropped } from './refusals.ts'

export interface AdmissionQueueParts {
  /** Of the pool. */
  readonly name: string
  readonly clock: Pick<Clock, 'now'>
  readonly demand: DemandMeter
  readonly capacity: () => FairCapacity
  /** Publishes to the other workers which call is next here, and what waits. */
  readonly neighbours: Pick<Neighbours, 'publish' | 'elsewhere'>
  readonly accounts: Accounts
  /** A call waits no longer; `ms` is undefined where it was not let wait. */
  readonly waited?: ((ending: WaitEnding, ms?: number) => void) | undefined
}

/** What a call waits for. */
export interface PermitWait {
  readonly need: PermitRequest
  readonly exclude: readonly number[]
}

export interface WaitingCall extends PermitWait {
  readonly queue: FairQueue<WaitingCall>
  readonly resolve: (permit: Permit) => void
  readonly reject: (error: GatewayError, ending: WaitEnding) => void
  entry: FairEntry<WaitingCall> | undefined
}

export class AdmissionQueue {
  readonly #parts: AdmissionQueueParts
  readonly #queue: FairQueue<WaitingCall>
  readonly #held: FairQueue<WaitingCall>
  readonly #backlog: QueueBacklog = { calls: new Int32Array(CLASSES), weights: new Float64Array(CLASSES) }
  /** What was published last is that nothing waits. */
  #isClear = true
  /** How long the first held call waited the last time that a backend started. */
  #startupMs = 0

  constructor(parts: AdmissionQueueParts, options: QueueOptions) {
    this.#parts = parts
    const drop = (waiting: WaitingCall, why: Dropped) => {
      if (why === 'late' && this.#hasGrown(waiting)) return
      const retryAfterMs = this.#isHeld(waiting) ? this.#startupMs : parts.capacity().meanServiceMs
      const ofTenant = waiting.need.share !== undefined
      waiting.reject(dropped(parts.name, { why, retryAfterMs, ofTenant }), why)
    }
    this.#queue = new FairQueue(parts.accounts, drop, options)
    this.#held = new FairQueue(parts.accounts, drop, heldOptions(options))
  }

  configure(options: QueueOptions): void {
    this.#queue.configure(options)
    this.#held.configure(heldOptions(options))
  }

  get depth(): number {
    return this.#queue.depth + this.#held.depth
  }

  /** The call that is next, with `mayHave` of those whose tenants could have a free place; undefined: none waits. */
  head(mayHave?: (share: TenantShare) => boolean): Head | undefined {
    if (this.depth === 0) return undefined
    const flow = this.#held.next() ?? this.#queue.next(mayHave)
    const since = flow?.queue.since
    if (!flow || since === undefined) return undefined
    const { account, share, eligibility } = flow
    const { isMixed } = this.#held.depth > 0 ? this.#held : this.#queue
    return { since, account, priority: share.priority, eligibility, isMixed }
  }

  /** Publishes the state of the queue to the other workers. `coming`: counted as if it waited already. */
  publish(coming?: TenantShare): void {
    const isClear = this.depth === 0 && coming === undefined
    if (isClear && this.#isClear) return
    this.#isClear = isClear
    const { calls, weights } = this.#backlog
    for (let priority = 0; priority < CLASSES; priority++) {
      const more = coming?.priority === priority ? 1 : 0
      calls[priority] = (this.#queue.calls[priority] ?? 0) + (this.#held.calls[priority] ?? 0) + more
      weights[priority] = (this.#queue.weights[priority] ?? 0) + (this.#held.weights[priority] ?? 0)
    }
    this.#parts.neighbours.publish(this.head(), this.#backlog)
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

  /** Takes the next call of those that could have a place: held calls arrived first. `serve`, `refuse` or `pass` is to follow. */
  take(medianServiceMs: number, mayHave?: (share: TenantShare) => boolean): WaitingCall | undefined {
    const now = this.#parts.clock.now()
    const held = this.#held.take(now, 0)
    if (held) this.#startupMs = now - held.place.arrivedAt
    return (held ?? this.#queue.take(now, medianServiceMs, mayHave))?.item
  }

  /** Gives a call that was taken its permit, and charges who has to pay. */
  serve({ need, queue, entry, resolve }: WaitingCall, permit: Permit): void {
    if (entry) queue.serve(entry, need.charges ?? [{ share: need.share ?? EVERYBODY, cost: 1 }])
    resolve(permit)
  }

  /** A call that was taken cannot be served: it is passed over until `resume`, and after `most` of them its tenant is. */
  pass({ queue, entry }: WaitingCall, most: number): void {
    if (entry) queue.pass(entry, most)
  }

  resume(): void {
    this.#queue.resume()
    this.#held.resume()
  }

  /** Whether the deadline has grown, because others with more time joined; the call then keeps its place until the new one. */
  #hasGrown(waiting: WaitingCall): boolean {
    const { need, entry, queue } = waiting
    if (!entry?.place.isDated || need.deadline <= entry.place.due) return false
    queue.extend(entry, need.deadline)
    return true
  }

  /** The load has been joined by a caller of a higher class. */
  #promoted({ need, queue, entry }: WaitingCall): void {
    if (!entry) return
    queue.promote(entry, need.share ?? EVERYBODY)
    this.publish()
  }

  #isHeld({ queue }: WaitingCall): boolean {
    return queue === this.#held
  }

  #enter({ need, exclude }: PermitWait, queue: FairQueue<WaitingCall>): Promise<Permit> {
    const { clock, demand, neighbours, name } = this.#parts
    const since = clock.now()
    const ended = (ending: WaitEnding) => this.#parts.waited?.(ending, clock.now() - since)
    return new Promise((resolve, reject) => {
      let waited = () => {}
      const settle = (ending: WaitEnding, finish: () => void) => {
        waited()
        ended(ending)
        need.signal.removeEventListener('abort', left)
        need.onPromoted = undefined
        finish()
      }
      const waiting: WaitingCall = {
        need,
        exclude,
        queue,
        resolve: (permit) => settle('served', () => resolve(permit)),
        reject: (error, ending) => settle(ending, () => reject(error)),
        entry: undefined,
      }
      const left = () => {
        if (!waiting.entry || !queue.remove(waiting.entry)) return
        need.onPromoted = undefined
        waited()
        ended('left')
        this.publish()
        reject(need.signal.reason)
      }
      const isHeld = this.#isHeld(waiting)
      const { share } = need
      // Published before the check, so that two workers never both give away the last place in the queue.
      this.publish(share ?? EVERYBODY)
      const result = queue.enter(
        waiting,
        { deadline: need.deadline, share },
        {
          now: since,
          capacity: isHeld ? { ...UNKNOWN, elsewhere: neighbours.elsewhere } : this.#parts.capacity(),
        },
      )
      if ('refused' in result) {
        this.publish()
        const retryAfterMs = isHeld ? this.#startupMs : result.retryAfterMs
        this.#parts.waited?.(result.refused)
        return reject(dropped(name, { why: result.refused, retryAfterMs, ofTenant: share !== undefined }))
      }
      waiting.entry = result.entry
      waited = demand.wait()
      this.publish()
      need.signal.addEventListener('abort', left, { once: true })
      if (share) need.onPromoted = () => this.#promoted(waiting)
    })
  }
}

/** Nobody knows yet how fast the pool will be, so no call is refused for its estimated wait. */
const UNKNOWN: FairCapacity = { meanServiceMs: 0, medianServiceMs: 0, limits: 0, startupMs: 0 }

/** As many calls as may wait otherwise, for as long as their deadlines allow. */
function heldOptions({ maxDepth }: QueueOptions): QueueOptions {
  return { ...(maxDepth === undefined ? {} : { maxDepth }), maxWaitMs: Infinity, targetMs: Infinity }
}
