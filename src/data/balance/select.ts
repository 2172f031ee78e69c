/**
 * Selects the backend for a call from the view of the pool. Synchronous, and without allocation as long as neither the view
 * nor the judgement of a backend changes.
 *
 *   view → offers the model → ready, not ejected → has room → policy → backend
 *
 * Two exceptions come before the policy: a half-open backend gets its trial call, and one on slow start is never left
 * without calls.
 */
import type { Backend, PoolView } from '../../core/backend.ts'
import type { Digest } from '../../core/key.ts'
import type { Labels } from '../../core/labels.ts'
import type { PromptPrefix } from '../../core/prompt-prefix.ts'
import type { Clock } from '../../lib/clock.ts'
import { type BalanceStatus, backendStatus } from './backend-status.ts'
import type { Limits } from './limits/limit.ts'
import type { Outliers } from './outliers/outlier.ts'
import { Pauses } from './pauses.ts'
import { type Candidates, candidatesOf } from './policies/candidates.ts'
import { type Group, Groups, type OfferRequest } from './policies/groups.ts'
import type { Ended, Policy } from './policies/policy.ts'
import { isNearEnough, type ZoneOptions } from './policies/zone.ts'
import { expireReports } from './reported-load.ts'
import { Ramps, type SlowStartOptions } from './slow-start.ts'
import { claimSlot, endCall, hasRoom, incarnationOf, inflightOf, type LoadTable, takePlace } from './table.ts'

export interface SelectorParts {
  readonly table: LoadTable
  readonly policy: Policy
  /** Left out: no backend is ever ejected. */
  readonly outliers?: Outliers
  /** Left out: only the limits that backends declare count. */
  readonly limits?: Limits
  readonly clock: Pick<Clock, 'now' | 'wall'>
}

export interface SelectorOptions {
  readonly slowStart?: SlowStartOptions
  /** The zone of this gateway, and when calls leave it. */
  readonly zone?: ZoneOptions
  /** How long a backend's report of its load counts; left out: it is not asked for one. */
  readonly reportMaxAgeMs?: number
  /** Below this share of routable backends ejection is ignored; in percent. Default 50, 0 never. */
  readonly panicPercent?: number
}

export interface PickRequest extends OfferRequest {
  readonly key?: Digest | undefined
  /** The beginning of the prompt, where the policy reads it. */
  readonly prefix?: PromptPrefix | undefined
  /** Slots already tried for this call. */
  readonly exclude?: readonly number[] | undefined
  /** A retry or a hedge: never a trial call for a half-open backend. */
  readonly isExtra?: boolean
}

/**
 * Why no backend takes the call. `none`: the pool has no backend that may. `unserved`: none of them offers the model.
 * `saturated`: all are at their limits. `excluded`: all that are left were tried already.
 */
export type PickRefusal = 'none' | 'unserved' | 'saturated' | 'excluded'

/** A backend on slow start gets at least one call in this time, while there are calls. */
const STARVED_MS = 2_000
const JUDGE_MS = 1_000

export class Selector {
  readonly readsPrefix: boolean
  readonly #parts: SelectorParts
  readonly #options: SelectorOptions
  readonly #ramps: Ramps
  readonly #bySlot: (Backend | undefined)[]
  readonly #groups = new Groups((backends) => this.#candidates(backends))
  readonly #allowed: Int32Array
  readonly #sentAt: Float64Array
  readonly #pauses: Pauses
  #members = new Int32Array(0)
  #view: PoolView | undefined
  #changes = 0
  #isNear = true
  #judgedAt = -Infinity

  constructor(parts: SelectorParts, options: SelectorOptions = {}) {
    const { slots } = parts.table
    this.#parts = parts
    this.readsPrefix = parts.policy.readsPrefix === true
    this.#options = options
    this.#bySlot = new Array<Backend | undefined>(slots).fill(undefined)
    this.#ramps = new Ramps(parts.table, options.slowStart)
    this.#allowed = new Int32Array(slots)
    this.#sentAt = new Float64Array(slots)
    this.#pauses = new Pauses(parts.table)
  }

  /** Adopts a new view of the pool; ignores an older or equal one. */
  update(view: PoolView): void {
    if (this.#view !== undefined && view.revision <= this.#view.revision) return
    const before = this.#bySlot.slice()
    this.#bySlot.fill(undefined)
    for (const backend of view.backends) {
      this.#bySlot[backend.slot] = backend
      this.#admit(backend, before[backend.slot])
    }
    this.#view = view
    this.#groups.update(view.backends)
    const usable = view.backends.filter(({ state }) => state !== 'draining').sort((a, b) => a.slot - b.slot)
    this.#members = Int32Array.from(usable, ({ slot }) => slot)
    this.#parts.policy.members?.(
      this.#members,
      usable.map(({ id }) => id),
    )
    const ready = usable.filter(({ state }) => state === 'ready')
    this.#parts.outliers?.members(Int32Array.from(ready, ({ slot }) => slot))
    this.tick(0)
  }

  /** To be called about every 100 ms: ramps, zone, ejections. `queued`: calls that wait for this pool. */
  tick(queued: number): void {
    const now = this.#parts.clock.now()
    this.#ramps.refresh(this.#members, now, queued)
    this.#pauses.expire(this.#members, now)
    const maxAgeMs = this.#options.reportMaxAgeMs ?? 0
    expireReports(this.#parts.table.reports, this.#members, { now, maxAgeMs })
    if (this.#options.zone && this.#view) {
      const isNear = isNearEnough(
        { backends: this.#view.backends, table: this.#parts.table, isNear: this.#isNear },
        this.#options.zone,
      )
      if (isNear !== this.#isNear) this.#changes++
      this.#isNear = isNear
    }
    if (now - this.#judgedAt < JUDGE_MS && now >= this.#judgedAt) return
    this.#judgedAt = now
    this.#parts.outliers?.tick(now)
  }

  /**
   * The backend for a call, or why there is none. To be followed at once by `begin`: a trial call that never begins keeps a
   * half-open backend waiting.
   */
  pick(request: PickRequest): Backend | PickRefusal {
    const group = this.#group(request)
    if (group === undefined) return this.#members.length === 0 ? 'none' : 'unserved'
    const { slots } = group.candidates
    if (slots.length === 0) return 'none'
    if (request.isExtra !== true) {
      const trial = this.#trial(group.candidates) ?? this.#starved(slots)
      if (trial !== undefined) return trial
    }
    const slot = this.#parts.policy.pick(slots, slots.length, request.key, request.prefix)
    if (this.#mayTake(slot, request)) return this.#bySlot[slot] ?? 'none'
    const other = this.#pickAllowed(slots, request)
    const { anywhere } = group.candidates
    return typeof other === 'string' && anywhere.length > slots.length
      ? this.#pickAllowed(anywhere, request)
      : other
  }

  /**
   * Counts a call in. The result is the backend's incarnation, for `end` or `cancel`; 0: another worker has taken the last
   * place since the pick.
   */
  begin(slot: number): number {
    const { table, policy, outliers, clock } = this.#parts
    const incarnation = takePlace(table, slot)
    if (incarnation === 0) {
      outliers?.release(slot)
      return 0
    }
    if (this.#ramps.count > 0) this.#sentAt[slot] = clock.now()
    policy.onStart?.(slot)
    return incarnation
  }

  end(slot: number, incarnation: number, result: Ended): void {
    const { table, limits, policy, outliers } = this.#parts
    const { ms, firstMs = ms, ending, now } = result
    // Before it is counted out: the limit is learnt from how many ran at the same time.
    if (table.incarnation[slot] === incarnation) limits?.observe(slot, ms, ending, now)
    if (!endCall(table, slot, incarnation)) return
    policy.onEnd?.(slot, firstMs, ending, now)
    outliers?.observe(slot, firstMs, ending, now)
  }

  /** The caller left and the backend's connection is closed: the backend no longer works on the call. */
  cancel(slot: number, incarnation: number, elapsedMs: number): void {
    this.#giveUp(slot, incarnation, { elapsedMs, isOutrun: false })
    this.free(slot, incarnation)
  }

  /** A hedge lost, and its connection is closed; `free` follows when the backend should have finished with it. */
  lose(slot: number, incarnation: number, elapsedMs: number): void {
    this.#giveUp(slot, incarnation, { elapsedMs, isOutrun: true })
  }

  #giveUp(slot: number, incarnation: number, how: { elapsedMs: number; isOutrun: boolean }): void {
    if (this.#parts.table.incarnation[slot] !== incarnation) return
    this.#parts.policy.onCancel?.(slot, how.elapsedMs, how.isOutrun)
    this.#parts.outliers?.release(slot)
  }

  /** Counts a lost call out. */
  free(slot: number, incarnation: number): void {
    endCall(this.#parts.table, slot, incarnation)
  }

  /** The backend asked for no calls for a while (`Retry-After`); at most five minutes are granted. */
  pause(slot: number, forMs: number): void {
    this.#pauses.begin(slot, this.#parts.clock.now(), forMs)
  }

  /** Whether any backend could take a call now, whatever the model. */
  hasRoom(): boolean {
    for (const slot of this.#members) if (hasRoom(this.#parts.table, slot)) return true
    return false
  }

  /**
   * The same for calls that ask for these labels, at backends that are not `closed`. True where no backend has the labels: such
   * calls are refused, and need not wait to be.
   */
  hasRoomFor(labels: Labels | undefined, closed: readonly number[]): boolean {
    if (labels === undefined && closed.length === 0) return this.hasRoom()
    const slots = labels === undefined ? this.#members : this.#group({ labels })?.candidates.anywhere
    if (!slots || slots.length === 0) return labels !== undefined
    for (const slot of slots) if (hasRoom(this.#parts.table, slot) && !closed.includes(slot)) return true
    return false
  }

  /** Whether a backend other than `exclude` may take the call now. */
  hasOther(request: PickRequest): boolean {
    return this.#group(request)?.candidates.slots.some((slot) => this.#mayTake(slot, request)) ?? false
  }

  /** Whether a backend that the control plane calls ready takes calls, as far as it has room. */
  isUsable(slot: number): boolean {
    const { outliers } = this.#parts
    return outliers?.isRoutable(slot) !== false && !this.#pauses.has(slot)
  }

  /** The status of a backend that the control plane calls ready; undefined: it gets its whole share. */
  status(slot: number): BalanceStatus | undefined {
    const { table, outliers, clock } = this.#parts
    return backendStatus({ table, outliers, pauses: this.#pauses }, slot, clock.now())
  }

  /** Most of the pool fails, so no backend is ejected for it. */
  get isFailing(): boolean {
    return this.#parts.outliers?.isPoolFailing ?? false
  }

  /** The share of the pool's limits in use; 0 where not every backend has one. */
  saturation(): number {
    let running = 0
    let limits = 0
    for (const slot of this.#members) {
      const limit = this.#parts.table.limit[slot] ?? 0
      if (limit <= 0) return 0
      limits += limit
      running += inflightOf(this.#parts.table, slot)
    }
    return limits === 0 ? 0 : running / limits
  }

  /** The number of backends that such a call may go to now. */
  routable(request: OfferRequest = {}): number {
    return this.#group(request)?.candidates.slots.length ?? 0
  }

  isPanic(model?: string, version?: string): boolean {
    return this.#group({ model, version })?.candidates.isPanic ?? false
  }

  #admit(backend: Backend, before: Backend | undefined): void {
    const { table, policy, outliers, limits, clock } = this.#parts
    const { slot } = backend
    if (before?.id !== backend.id || before.generation !== backend.generation) {
      if (claimSlot(table, slot, incarnationOf(backend.id, backend.generation))) outliers?.forget(slot)
      policy.forget?.(slot)
      this.#sentAt[slot] = 0
    }
    table.weight[slot] = backend.weight
    if (limits === undefined) table.limit[slot] = backend.concurrency ?? 0
    else limits.declare(slot, backend.concurrency)
    const wasReady = before?.generation === backend.generation && before.state === 'ready'
    // Wall time comes from the control plane, so only the age of this time means anything here.
    const readyForMs = Math.max(0, clock.wall() - backend.readySince)
    if (backend.state === 'ready' && !wasReady) table.readyAt[slot] = clock.now() - readyForMs
  }

  #group(request: OfferRequest): Group | undefined {
    return this.#groups.find(
      request,
      this.#changes + this.#pauses.version + (this.#parts.outliers?.version ?? 0),
    )
  }

  #candidates(backends: readonly Backend[]): Candidates {
    const { outliers } = this.#parts
    return candidatesOf(backends, {
      isRoutable: (slot) => outliers?.isRoutable(slot) ?? true,
      isHalfOpen: (slot) => outliers?.isHalfOpen(slot) ?? false,
      isPaused: (slot) => this.#pauses.has(slot),
      panicPercent: this.#options.panicPercent ?? 50,
      zone: this.#isNear ? this.#options.zone?.name : undefined,
    })
  }

  #trial({ halfOpen }: Candidates): Backend | undefined {
    for (let at = 0; at < halfOpen.length; at++) {
      const slot = halfOpen[at] ?? 0
      if (hasRoom(this.#parts.table, slot) && this.#parts.outliers?.admit(slot)) return this.#bySlot[slot]
    }
    return undefined
  }

  #starved(slots: Int32Array): Backend | undefined {
    if (this.#ramps.count === 0 || slots.length < 2) return undefined
    const now = this.#parts.clock.now()
    for (let at = 0; at < this.#ramps.count; at++) {
      const slot = this.#ramps.rampingAt(at)
      if (now - (this.#sentAt[slot] ?? 0) < STARVED_MS || !slots.includes(slot)) continue
      if (hasRoom(this.#parts.table, slot)) return this.#bySlot[slot]
    }
    return undefined
  }

  #mayTake(slot: number, request: PickRequest): boolean {
    return hasRoom(this.#parts.table, slot) && request.exclude?.includes(slot) !== true
  }

  /** The policy's first choice may not take the call: the policy picks again, among those that may. */
  #pickAllowed(slots: Int32Array, request: PickRequest): Backend | PickRefusal {
    let count = 0
    let excluded = 0
    for (let at = 0; at < slots.length; at++) {
      const slot = slots[at] ?? 0
      if (request.exclude?.includes(slot)) excluded++
      else if (hasRoom(this.#parts.table, slot)) this.#allowed[count++] = slot
    }
    if (count === 0) return excluded === slots.length ? 'excluded' : 'saturated'
    return this.#bySlot[this.#parts.policy.pick(this.#allowed, count, request.key, request.prefix)] ?? 'none'
  }
}
