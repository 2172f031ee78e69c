/**
 * A pool as the data plane sees it: which backends a call may go to, how many calls may run, which wait, and what a failing
 * pool may cost. The parts that decide are pure and live in ../balance; here they are assembled for one pool.
 */
import { addressesOf, addressOf, type Backend, type PoolView, type Transport } from '../../core/backend.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { TenantShare } from '../../core/tenant-share.ts'
import { SlidingQuantiles } from '../../lib/window.ts'
import type { FairCapacity } from '../balance/fair/fair-queue.ts'
import { Hedger } from '../balance/hedge.ts'
import { Limits } from '../balance/limits/limit.ts'
import { RetryBudget } from '../balance/limits/retry-budget.ts'
import { Neighbours } from '../balance/policies/neighbours.ts'
import type { AttemptOutcome } from '../balance/policies/policy.ts'
import type { PickRefusal, PickRequest, Selector } from '../balance/select.ts'
import { inflightOf } from '../balance/table.ts'
import { DemandMeter } from '../measure/demand.ts'
import { AdmissionQueue } from './admission-queue.ts'
import { AnswerLoads } from './answer-loads.ts'
import type { Clients } from './clients.ts'
import type { Permit, PermitRequest } from './permit.ts'
import { Places } from './places.ts'
import { QueueServer } from './queue-server.ts'
import { isStarting, refused } from './refusals.ts'
import { type PoolTraffic, selectionTraffic } from './traffic.ts'
import { createSelector, type PoolParts, type PoolTuning } from './tuning.ts'

/** How many places may be lost to other workers before a call is queued. */
const MAX_RACES = 8
const SERVICE_WINDOW_MS = 30_000

export class BackendPool {
  readonly name: string
  readonly clients: Clients
  /** The demand on the backends, for the scaler. */
  readonly demand: DemandMeter
  readonly #parts: PoolParts
  /** Mean latency by slot, for people: a policy keeps the peak, if any. */
  readonly #latencies: Float64Array
  readonly #neighbours: Neighbours
  readonly #service = new SlidingQuantiles(SERVICE_WINDOW_MS)
  #tuning: PoolTuning
  #selector: Selector
  #budget: RetryBudget
  #hedger: Hedger | undefined
  #limits: Limits
  readonly #places: Places
  readonly #waiting: AdmissionQueue
  readonly #server: QueueServer
  readonly #answerLoads: AnswerLoads
  #view: PoolView
  #meanServiceMs = 0

  constructor(parts: PoolParts, tuning: PoolTuning) {
    this.name = parts.name
    this.clients = parts.clients
    this.#parts = parts
    this.demand = new DemandMeter(parts.clock, (slot) => inflightOf(parts.table, slot))
    this.#answerLoads = new AnswerLoads(parts)
    this.#latencies = new Float64Array(parts.table.slots)
    this.#neighbours = new Neighbours(parts.table, parts.name)
    this.#view = { pool: parts.name, revision: 0, backends: [] }
    this.#tuning = tuning
    this.#limits = this.#newLimits(tuning)
    this.#selector = this.#newSelector(tuning)
    this.#budget = new RetryBudget(tuning.retry.budget)
    this.#hedger = tuning.hedge && new Hedger(tuning.hedge)
    this.#waiting = new AdmissionQueue(
      {
        ...parts,
        demand: this.demand,
        capacity: () => this.#capacity(),
        neighbours: this.#neighbours,
        accounts: this.#neighbours.accounts,
      },
      tuning.queue,
    )
    this.#places = new Places({
      pool: parts.name,
      table: parts.table,
      accounts: this.#neighbours.accounts,
      selector: () => this.#selector,
      now: () => parts.clock.now(),
    })
    this.#places.configure(tuning.shares ?? [], [])
    this.#server = new QueueServer({
      queue: this.#waiting,
      neighbours: this.#neighbours,
      clock: parts.clock,
      hasRoom: () => this.#selector.hasRoom(),
      places: this.#places,
      take: (request, share) => this.#take(request, share),
      medianServiceMs: () => this.serviceMs(0.5) ?? 0,
      refused: (why, need) => this.#refused(why, need),
    })
  }

  get tuning(): PoolTuning {
    return this.#tuning
  }

  /** Whether calls wait for a place here. */
  get isQueueing(): boolean {
    return this.#waiting.depth > 0
  }

  get readsPrefix(): boolean {
    return this.#selector.readsPrefix
  }

  get view(): PoolView {
    return this.#view
  }

  /** Whether any of the backends has an address for such calls, if there are backends; otherwise it is not known yet. */
  hasTransport(transport: Transport): boolean {
    const { backends } = this.#view
    return backends.length === 0 || backends.some((backend) => addressOf(backend, transport) !== undefined)
  }

  /** Applies new settings; calls in flight and what was learnt of the backends stay. */
  configure(tuning: PoolTuning): void {
    const old = this.#tuning
    // A reload that changes other settings must not reset what the parts have learnt.
    if (JSON.stringify(old) === JSON.stringify(tuning)) return
    this.#tuning = tuning
    this.#waiting.configure(tuning.queue)
    this.#places.configure(tuning.shares ?? [], this.#view.backends)
    if (JSON.stringify(old.limit) !== JSON.stringify(tuning.limit)) this.#limits = this.#newLimits(tuning)
    this.#selector = this.#newSelector(tuning)
    this.#selector.update(this.#view)
    if (JSON.stringify(old.retry) !== JSON.stringify(tuning.retry))
      this.#budget = new RetryBudget(tuning.retry.budget)
    if (JSON.stringify(old.hedge) !== JSON.stringify(tuning.hedge))
      this.#hedger = tuning.hedge && new Hedger(tuning.hedge)
  }

  apply(view: PoolView): void {
    if (view.revision <= this.#view.revision) return
    const used = new Set(view.backends.flatMap(addressesOf))
    const known = new Map(this.#view.backends.map(({ slot, generation }) => [slot, generation]))
    for (const { slot, generation } of view.backends) {
      if (known.get(slot) !== generation) this.#latencies[slot] = 0
    }
    for (const address of this.#view.backends.flatMap(addressesOf))
      if (!used.has(address)) void this.clients.forget(address)
    this.#view = view
    this.#selector.update(view)
    this.#places.update(view.backends)
    this.#server.serve()
  }

  /** To be called about every 100 ms. */
  tick(): void {
    this.#waiting.expire()
    this.#selector.tick(this.#waiting.depth + this.#neighbours.queued)
    this.#places.tick()
    this.#server.serve()
  }

  /** Another worker has left a place to a call that waits here. */
  onBell(): void {
    if (this.#waiting.depth > 0) this.#server.serve()
  }

  /** How the pool's calls fare, for people. */
  status(): PoolTraffic {
    const reports = this.#tuning.reportMaxAgeMs !== undefined
    const known = { selector: this.#selector, latencies: this.#latencies, reports }
    return {
      queued: this.#waiting.depth,
      retriesLeft: this.#budget.left(this.#parts.clock.now()),
      ...selectionTraffic(this.#parts.table, this.#view, known),
    }
  }

  /**
   * A permit for the call at a backend; at once where one has room, otherwise when one becomes free. Rejects, or throws, with
   * `noBackend`, `unknownModel`, `overloaded`, or the signal's reason. `now`: for a caller that has read the clock already.
   */
  enter(need: PermitRequest, exclude: readonly number[], now?: number): Permit | Promise<Permit> {
    if (need.share !== undefined && this.#server.isContended) return this.#server.enter(need, exclude)
    const picked = this.#take(exclude.length === 0 ? need : { ...need, exclude }, need.share, now)
    if (typeof picked !== 'string') return picked
    if (picked === 'saturated') return this.#waiting.wait({ need, exclude })
    if (picked === 'none' && this.#tuning.isFromZero && isStarting(this.#view))
      return this.#waiting.hold({ need, exclude })
    throw this.#refused(picked, need)
  }

  /** A permit for a second attempt of the same call, elsewhere and at once; undefined: there is none. */
  enterExtra(need: PermitRequest, exclude: readonly number[]): Permit | undefined {
    const picked = this.#take({ ...need, exclude, isExtra: true }, need.share)
    return typeof picked === 'string' ? undefined : picked
  }

  /** A permit for a call that lets all others go first; why there is none, if not at once. It may be a trial call. */
  enterNow(need: PermitRequest): Permit | PickRefusal {
    return this.isQueueing || this.#neighbours.queued > 0 ? 'saturated' : this.#take(need, undefined)
  }

  /** Whether a backend other than `exclude` could take the call at once. */
  hasOther(need: PermitRequest, exclude: readonly number[]): boolean {
    return this.#selector.hasOther({ ...need, exclude })
  }

  /** `lost`: a hedge was cancelled because the other attempt was faster; `cancelled`: the caller has left. */
  leave(
    permit: Permit,
    ms: number,
    ending: AttemptOutcome | 'cancelled' | 'lost',
    now = this.#parts.clock.now(),
  ): void {
    const { backend, incarnation, since, inflightAtStart, floor, firstMs } = permit
    const { slot } = backend
    if (floor !== undefined) this.#places.leave(floor)
    if (ending === 'lost') {
      this.#selector.lose(slot, incarnation, now - since)
      this.#parts.clock.after(this.#restMs(slot, ms), () => this.#free(permit, ms))
      return
    }
    this.demand.leave(ms, ending === 'ok' ? inflightAtStart : 0, now)
    if (ending === 'cancelled') this.#selector.cancel(slot, incarnation, firstMs ?? now - since)
    else this.#selector.end(slot, incarnation, { ms, firstMs, ending, now })
    if (ending === 'ok') this.#observe(slot, now, { ms, firstMs: firstMs ?? ms })
    this.#server.serve()
  }

  /** The quantile `q` of the last half minute's latencies, in milliseconds; undefined where there was no answer. */
  serviceMs(q: number): number | undefined {
    return this.#service.quantile(this.#parts.clock.now(), q)
  }

  /** The backend asked for no calls for this long (`Retry-After`). */
  pause(slot: number, ms: number): void {
    this.#selector.pause(slot, ms)
  }

  /** Takes the loads that the backends are asked for with every call; undefined: they are not asked. */
  get answerLoads(): AnswerLoads | undefined {
    return this.#tuning.loadOnAnswers === true ? this.#answerLoads : undefined
  }

  /** A call begins: it counts as demand, and adds its part to the retry budget. */
  deposit(now = this.#parts.clock.now()): void {
    this.demand.offered(now)
    this.#budget.deposit(this.demand.level)
  }

  /** Takes a retry from the budget; false: the failure is the answer. To be followed by `retried` when the call is over. */
  mayRetry(): boolean {
    return this.#budget.tryWithdraw(this.#parts.clock.now())
  }

  /** A call is over that took this many retries. */
  retried(retries: number): void {
    this.#budget.ended(retries)
  }

  /** When to send the call a second time, in milliseconds from now; undefined: never. */
  hedgeDelay({ model, version, transport, deadline }: PermitRequest, now: number): number | undefined {
    return this.#hedger?.start({
      now,
      remainingMs: deadline - now,
      routable: this.#selector.routable({ model, version, transport }),
      saturation: this.#selector.saturation(),
    })
  }

  /** A hedge takes from both budgets, so that retries and hedges together are bounded. */
  mayHedge(): boolean {
    return this.#hedger?.tryTake() === true && this.#budget.tryWithdrawEarned(this.#parts.clock.now())
  }

  hedged(isWin: boolean): void {
    this.#hedger?.settle(this.#parts.clock.now(), isWin)
  }

  #newLimits(tuning: PoolTuning): Limits {
    const { table, clock } = this.#parts
    return new Limits({ table, now: () => clock.now() }, tuning.limit)
  }

  #newSelector(tuning: PoolTuning): Selector {
    const at = (slot: number) => this.#view.backends.find((backend) => backend.slot === slot)
    return createSelector({ ...this.#parts, limits: this.#limits, at }, tuning)
  }

  /** A permit at the picked backend; at another one where another worker has taken its last place meanwhile. */
  #take(request: PickRequest, share: TenantShare | undefined, now?: number): Permit | PickRefusal {
    for (let tried = 0; tried < MAX_RACES; tried++) {
      const picked = this.#places.pick(request, share)
      if (typeof picked === 'string') return picked
      const permit = this.#permit(picked, share, now)
      if (permit) return permit
    }
    return 'saturated'
  }

  #permit(
    backend: Backend,
    share: TenantShare | undefined,
    now = this.#parts.clock.now(),
  ): Permit | undefined {
    const { table } = this.#parts
    const { slot } = backend
    const incarnation = this.#selector.begin(slot)
    if (incarnation === 0) return undefined
    this.demand.enter(now)
    const inflightAtStart = (table.ramp[slot] ?? 1) < 1 ? 0 : inflightOf(table, slot)
    const floor = this.#places.enter(share)
    return { backend, incarnation, since: now, inflightAtStart, floor }
  }

  /**
   * How much longer a backend is likely to work on a cancelled hedge: most servers compute a prediction to its end, whoever
   * has left, and a limit that ignored them would let too many calls in.
   */
  #restMs(slot: number, ms: number): number {
    const known = Math.max(this.#parts.table.ewmaMs[slot] ?? 0, this.#latencies[slot] ?? 0)
    return Math.max(0, Math.max(known, this.serviceMs(0.99) ?? 0) - ms)
  }

  #free({ backend, incarnation }: Permit, ms: number): void {
    this.demand.leave(ms, 0)
    this.#selector.free(backend.slot, incarnation)
    this.#server.serve()
  }

  #capacity(): FairCapacity {
    const ready = this.#view.backends.filter(({ state }) => state === 'ready')
    const limits = ready.reduce((sum, { slot }) => sum + (this.#parts.table.limit[slot] ?? 0), 0)
    const medianServiceMs = this.#service.quantile(this.#parts.clock.now(), 0.5) ?? 0
    const { elsewhere } = this.#neighbours
    return { meanServiceMs: this.#meanServiceMs, medianServiceMs, limits, elsewhere }
  }

  #observe(slot: number, now: number, { ms, firstMs }: { ms: number; firstMs: number }): void {
    const known = this.#latencies[slot] ?? 0
    this.#latencies[slot] = known === 0 ? firstMs : known * 0.95 + firstMs * 0.05
    this.#hedger?.observe(now, firstMs)
    this.#service.add(now, ms)
    this.#meanServiceMs = this.#meanServiceMs === 0 ? ms : this.#meanServiceMs * 0.98 + ms * 0.02
  }

  #refused(why: PickRefusal, need: PermitRequest): GatewayError {
    return refused(this.#view, { why, ...need, status: (slot) => this.#selector.status(slot) })
  }
}
