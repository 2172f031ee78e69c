/**
 * Gives free places of a pool to the calls that wait for one: in this worker, and by leaving places to others, in the order of
 * all workers' queues.
 */
import type { GatewayError } from '../../core/errors.ts'
import type { TenantShare } from '../../core/tenant-share.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Neighbours } from '../balance/policies/neighbours.ts'
import type { PickRefusal, PickRequest } from '../balance/select.ts'
import type { AdmissionQueue } from './admission-queue.ts'
import type { Permit, PermitRequest } from './permit.ts'
import type { Places } from './places.ts'

/** Waiting calls for models whose backends are full are passed over; at most this many at a time. */
const MAX_PASSED = 64
/** Of one tenant, where there are tenants: its calls may all be for the same full backend. */
const MAX_PASSED_EACH = 8
/** A place that was left to another worker and is not taken is given away after this. */
const RETAKE_MS = 5

export interface QueueServerParts {
  readonly queue: AdmissionQueue
  readonly neighbours: Neighbours
  readonly clock: Pick<Clock, 'after'>
  readonly hasRoom: () => boolean
  readonly places: Pick<Places, 'mayHave' | 'mayHaveAs' | 'isDivided' | 'isHeldBack' | 'useless'>
  readonly take: (request: PickRequest, share: TenantShare | undefined) => Permit | PickRefusal
  readonly medianServiceMs: () => number
  readonly refused: (why: PickRefusal, need: PermitRequest) => GatewayError
}

export class QueueServer {
  readonly #parts: QueueServerParts
  #isRetaking = false

  constructor(parts: QueueServerParts) {
    this.#parts = parts
  }

  /** Calls wait here, in other workers or at other gateways, so a free place is not simply for who comes. */
  get isContended(): boolean {
    const { queue, neighbours, places } = this.#parts
    return queue.depth > 0 || neighbours.queued > 0 || places.isDivided
  }

  /** Queues the call, and serves the queue at once: those that wait may all wait for other backends. */
  enter(need: PermitRequest, exclude: readonly number[]): Promise<Permit> {
    const { queue, neighbours, places } = this.#parts
    const permit = queue.wait({ need, exclude })
    if (neighbours.mustYield(queue.head(places.mayHave), places.mayHaveAs)) this.#retakeSoon()
    else this.serve()
    return permit
  }

  /** Gives free places to waiting calls, the first of all workers' first. */
  serve(): void {
    const { queue, neighbours, hasRoom, places, take, medianServiceMs, refused } = this.#parts
    let passed = 0
    while (passed < MAX_PASSED && !this.#leavesPlace() && queue.depth > 0 && hasRoom()) {
      const waiting = queue.take(medianServiceMs(), places.mayHave)
      if (!waiting) break
      const { need, exclude } = waiting
      let picked = take({ ...need, exclude }, need.share)
      // The backends that were not tried have left meanwhile: a backend that failed before is better than none.
      if (picked === 'excluded') picked = take(need, need.share)
      if (typeof picked !== 'string') queue.serve(waiting, picked)
      else if (picked === 'saturated') {
        passed++
        queue.pass(waiting, need.share ? MAX_PASSED_EACH : MAX_PASSED)
      } else waiting.reject(refused(picked, need), 'gone')
    }
    if (passed > 0) queue.resume()
    queue.publish()
    if (queue.depth > 0) {
      const isHeldBack = places.isHeldBack
      if (passed > 0 && !isHeldBack && hasRoom()) places.useless()
      neighbours.looked(isHeldBack || !hasRoom())
    }
    neighbours.offer(hasRoom, places.mayHaveAs)
  }

  /** Leaves a free place to another worker whose call goes before those that wait here. */
  #leavesPlace(): boolean {
    const { queue, neighbours, places } = this.#parts
    const isLeft = neighbours.leavesPlace(queue.head(places.mayHave), places.mayHaveAs)
    if (isLeft) this.#retakeSoon()
    return isLeft
  }

  #retakeSoon(): void {
    if (this.#isRetaking) return
    this.#isRetaking = true
    this.#parts.clock.after(RETAKE_MS, () => {
      this.#isRetaking = false
      this.#parts.neighbours.retake()
      this.serve()
    })
  }
}
