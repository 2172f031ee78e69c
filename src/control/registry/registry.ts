/**
 * The registry of backends by pool. Backends come from the settings, from discovery, or register themselves and keep a
 * lease; the data plane gets immutable views. It does no I/O: the time and the calls in flight are passed in, and
 * nothing here waits.
 *
 * A backend that misses its lease is suspect for one more TTL before it is removed: where answers still arrive, the
 * missed heartbeat is probably the gateway's problem.
 */
import { haveSameAddresses, type PoolView } from '../../core/backend.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { epochOf } from './epochs.ts'
import { amend, type HealthVerdict, leaseFrom, type Member, missed, stateOf } from './member.ts'
import { Membership, type RemovedMember, update } from './membership.ts'
import {
  type BackendPatch,
  BOUNDS,
  type Change,
  DRAIN_MS,
  type FoundBackend,
  fenced,
  LEASE,
  type LeaseGrant,
  type PoolDeclaration,
  type PoolStatus,
  type Registration,
  type RegistrationRefusal,
  type Removal,
  type RemoveOptions,
  type Renewal,
  refusal,
  unknownPool,
} from './registration.ts'
import { createSupply, type Supply } from './supply.ts'

const TICK_MS = 1_000
const DRAIN_TICK_MS = 100
const CHANGES = { drained: 'drained', 'drain deadline': 'cut', 'lease expired': 'expired' } as const
/** A tick later than this means that the gateway was blocked and could not receive renewals. */
const STALL_MS = LEASE.minTtlMs / 2

export interface RegistryOptions {
  readonly clock: Clock
  readonly log: Log
  /** Calls running on a slot, over all workers. */
  readonly inflight: (slot: number) => number
  /** Time after the start, in milliseconds, in which no backend is removed for a missed lease. Default one TTL. */
  readonly startGraceMs?: number
  readonly random?: () => number
  /** As in `Supply`. */
  readonly changed?: Supply['changed']
}

export type Follower = (view: PoolView) => void

export class Registry {
  readonly #clock: Clock
  readonly #log: Log
  readonly #inflight: (slot: number) => number
  /** Called with every change that other gateways must learn. */
  onChange: (change: Change) => void = () => {}
  readonly #expireFrom: number
  readonly #pools = new Map<string, Membership>()
  readonly #supply: Supply
  readonly #followers = new Set<Follower>()
  #timer: { readonly dueAt: number; readonly cancel: () => void } | undefined
  #closed = false

  constructor(options: RegistryOptions) {
    this.#clock = options.clock
    this.#log = options.log
    this.#inflight = options.inflight
    this.#expireFrom = options.clock.now() + (options.startGraceMs ?? LEASE.defaultTtlMs)
    this.#supply = createSupply({ ...options, pools: this.#pools })
  }

  /** Replaces the pools of the settings. What is no longer named is drained and removed. */
  declare(pools: readonly PoolDeclaration[]): void {
    const named = new Set(pools.map((pool) => pool.name))
    for (const membership of this.#pools.values()) {
      if (!named.has(membership.pool)) this.#retire(membership)
    }
    for (const declaration of pools) {
      const membership = this.#pools.get(declaration.name) ?? new Membership(declaration.name, this.#supply)
      this.#pools.set(declaration.name, membership)
      membership.declared = true
      membership.setProbed(declaration.probed ?? true)
      membership.declare(declaration.backends ?? [], { now: this.#clock.now(), wall: this.#clock.wall() })
      this.#changed(membership)
    }
  }

  /** Replaces the discovered backends of a pool. */
  discovered(pool: string, found: readonly FoundBackend[]): void {
    const membership = this.#declared(pool)
    if (!membership) return
    membership.discover(this.#clock.now(), found)
    this.#changed(membership)
  }

  /** Registers or updates a backend. Idempotent for the same epoch; a newer one is a new generation. */
  register(pool: string, id: string, registration: Registration): LeaseGrant | RegistrationRefusal {
    const membership = this.#declared(pool)
    if (!membership) return unknownPool(pool)
    const now = this.#clock.now()
    const known = membership.present.get(id)
    const buried = membership.tombstone(id, now)
    const claim = epochOf({ id, registration, known, buried, wall: this.#clock.wall() })
    if ('refused' in claim) return claim
    const { epoch } = claim
    if (known?.epoch === epoch) {
      update(known, registration, now)
      this.#changed(membership)
      this.onChange({ pool, id, kind: 'registered' })
      return this.#grant(membership, known, false)
    }
    const member = membership.admit(id, { ...registration, epoch, source: 'registered' }, now)
    if (!member) return refusal('full', `there is no room for another backend: retry in a minute`)
    if (known && registration.epoch === undefined && haveSameAddresses(known, registration)) {
      // A registration without an epoch does not claim to be a new process, so its known health is kept.
      member.health = known.health
      member.healthReason = known.healthReason
    }
    this.#changed(membership)
    this.onChange({ pool, id, kind: 'registered' })
    return this.#grant(membership, member, known === undefined)
  }

  /** Renews a lease. `unknownBackend`: register again. `fenced`: a successor has the id. */
  renew(pool: string, id: string, { generation, load }: Renewal): LeaseGrant | RegistrationRefusal {
    const found = this.#find(pool, id)
    if ('refused' in found) return found
    const { membership, member } = found
    if (!member.lease)
      return refusal('conflict', `"${id}" has no lease to renew: it is a ${member.source} backend`)
    if (generation !== member.generation) return fenced(id, generation, member.generation)
    const now = this.#clock.now()
    const wasMissed = missed(member, now)
    member.lease = leaseFrom(now, member.lease.ttlMs)
    member.load = load
    if (wasMissed) this.#changed(membership)
    this.onChange({ pool, id, kind: 'renewed' })
    return this.#grant(membership, member, false)
  }

  patch(pool: string, id: string, patch: BackendPatch): LeaseGrant | RegistrationRefusal {
    const found = this.#find(pool, id)
    if ('refused' in found) return found
    const { membership, member } = found
    if (member.drain?.thenRemove) return refusal('conflict', `"${id}" is being removed`)
    amend(member, patch)
    this.#changed(membership)
    this.onChange({ pool, id, kind: 'changed' })
    return this.#grant(membership, member, false)
  }

  /** Drains a backend and then removes it; its epoch stays out for five minutes. */
  remove(pool: string, id: string, options: RemoveOptions = {}): Removal | RegistrationRefusal {
    const found = this.#find(pool, id)
    if ('refused' in found) return found
    const { membership, member } = found
    if (options.generation !== undefined && options.generation !== member.generation) {
      return fenced(id, options.generation, member.generation)
    }
    if (member.source === 'static') {
      return refusal(
        'conflict',
        `"${id}" is a backend of the settings: take it out there, or drain it with PATCH`,
      )
    }
    if (member.source === 'discovered') {
      return refusal('conflict', `"${id}" is named by discovery: take it out there, or drain it with PATCH`)
    }
    const drainMs = Math.min(options.drainMs ?? DRAIN_MS, BOUNDS.maxDrainMs)
    membership.dismiss(member, drainMs, this.#clock.now())
    this.#changed(membership)
    this.onChange({ pool, id, kind: 'removed' })
    this.#log.info('backend.removing', { pool, backend: id, generation: member.generation, drainMs })
    return { generation: member.generation, inflight: this.#inflight(member.slot), drainMs }
  }

  /** A probe's good verdict; one about an older generation is ignored. */
  markHealthy(pool: string, id: string, verdict: Omit<HealthVerdict, 'health'>): void {
    this.#judge(pool, id, { ...verdict, health: 'well' })
  }

  markUnhealthy(pool: string, id: string, verdict: Omit<HealthVerdict, 'health'>): void {
    this.#judge(pool, id, { ...verdict, health: 'sick' })
  }

  markWarming(pool: string, id: string, verdict: Omit<HealthVerdict, 'health'>): void {
    this.#judge(pool, id, { ...verdict, health: 'unknown' })
  }

  /** A call was answered well: a suspect backend is kept for one TTL more, at most two in all. It stays suspect. */
  proofOfLife(pool: string, id: string): void {
    const lease = this.#pools.get(pool)?.present.get(id)?.lease
    const now = lease ? this.#clock.now() : 0
    if (!lease || lease.until > now) return
    lease.removeAt = Math.min(Math.max(lease.removeAt, now + lease.ttlMs), lease.until + 2 * lease.ttlMs)
  }

  /** Extends every lease by time in which no renewal could be received. */
  extendLeases(ms: number): void {
    for (const membership of this.#pools.values()) membership.extendLeases(ms)
  }

  /** Gives access to a pool's members, for facts from other gateways. Undefined: no such pool. */
  join<T>(pool: string, work: (membership: Membership) => T): T | undefined {
    const membership = this.#declared(pool)
    if (!membership) return undefined
    const result = work(membership)
    this.#changed(membership)
    return result
  }

  /** Undefined: no such pool. */
  view(pool: string): PoolView | undefined {
    return this.#pools.get(pool)?.view
  }

  views(): PoolView[] {
    return [...this.#pools.values()].map((membership) => membership.view)
  }

  status(pool: string): PoolStatus | undefined {
    return this.#pools.get(pool)?.status(this.#clock.now(), this.#inflight)
  }

  /** Calls `listener` with every pool's present view now, and with each new one from then on. */
  follow(listener: Follower): () => void {
    this.#followers.add(listener)
    for (const view of this.views()) this.#notify(listener, view)
    return () => void this.#followers.delete(listener)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#timer = undefined
    this.#followers.clear()
  }

  #retire(membership: Membership): void {
    membership.declared = false
    for (const member of membership.present.values()) {
      membership.dismiss(member, DRAIN_MS, this.#clock.now())
    }
    this.#changed(membership)
    if (membership.all.length === 0) this.#pools.delete(membership.pool)
  }

  #judge(pool: string, id: string, verdict: HealthVerdict): void {
    const membership = this.#pools.get(pool)
    const member = membership?.present.get(id)
    if (!membership || member?.generation !== verdict.generation) return
    if (member.health !== verdict.health) {
      const { health, reason, generation } = verdict
      const fields = { pool, backend: id, generation, health, reason }
      this.#log[health === 'sick' ? 'warn' : 'info']('backend.health', fields)
    }
    if (member.health === verdict.health && member.healthReason === verdict.reason) return
    member.health = verdict.health
    member.healthReason = verdict.reason
    this.#changed(membership)
  }

  #grant(membership: Membership, member: Member, created: boolean): LeaseGrant {
    const ttlMs = member.lease?.ttlMs ?? 0
    const { state } = stateOf(member, this.#clock.now(), membership.frozen)
    return { created, generation: member.generation, ttlMs, renewAfterMs: Math.floor(ttlMs / 3), state }
  }

  #changed(membership: Membership): void {
    // A registration overrides discovery at its address, and its removal ends that.
    if (membership.declared) membership.discover(this.#clock.now())
    if (membership.refresh(this.#clock.now(), this.#clock.wall())) {
      for (const follower of [...this.#followers]) this.#notify(follower, membership.view)
    }
    const members = membership.all
    // The next tick checks the calls of a drained member, not this one: views on their way to the workers still contain
    // it.
    if (members.some((member) => member.drain?.thenRemove)) this.#wake(DRAIN_TICK_MS)
    else if (membership.isShort || members.some((member) => member.lease)) this.#wake(TICK_MS)
  }

  #notify(follower: Follower, view: PoolView): void {
    try {
      follower(view)
    } catch (error) {
      this.#log.error('registry.follower', { pool: view.pool, error: String(error) })
    }
  }

  #wake(inMs: number): void {
    const dueAt = this.#clock.now() + inMs
    if (this.#closed || (this.#timer && this.#timer.dueAt <= dueAt)) return
    this.#timer?.cancel()
    this.#timer = { dueAt, cancel: this.#clock.after(inMs, () => this.#tick(dueAt)) }
  }

  #tick(dueAt: number): void {
    this.#timer = undefined
    const now = this.#clock.now()
    if (now - dueAt > STALL_MS) {
      this.#log.warn('registry.stalled', { stalledMs: Math.round(now - dueAt) })
      this.extendLeases(now - dueAt)
    }
    for (const membership of [...this.#pools.values()]) {
      for (const gone of membership.sweep(now, this.#inflight, this.#expireFrom)) this.#drop(membership, gone)
      this.#changed(membership)
      if (!membership.declared && membership.all.length === 0) this.#pools.delete(membership.pool)
    }
    this.#wakeForNext(now)
  }

  #drop(membership: Membership, { member, why }: RemovedMember): void {
    const now = this.#clock.now()
    this.#supply.slots.free(member.slot, now)
    this.#supply.changed(membership.pool, CHANGES[why])
    if (why === 'lease expired' && member.source === 'registered') {
      const until = now + LEASE.tombstoneMs
      membership.addTombstone(member.id, { epoch: member.epoch, removed: false, until })
    }
    const { id, generation } = member
    this.#log.info('backend.gone', { pool: membership.pool, backend: id, generation, why })
  }

  #wakeForNext(now: number): void {
    for (const { drain, lease } of [...this.#pools.values()].flatMap((membership) => membership.all)) {
      if (drain?.thenRemove) this.#wake(DRAIN_TICK_MS)
      if (!lease) continue
      const due = [lease.until, lease.removeAt].find((at) => at > now) ?? Infinity
      this.#wake(Math.min(TICK_MS, due - now))
    }
  }

  #declared(pool: string): Membership | undefined {
    const membership = this.#pools.get(pool)
    return membership?.declared ? membership : undefined
  }

  #find(pool: string, id: string): { membership: Membership; member: Member } | RegistrationRefusal {
    const membership = this.#declared(pool)
    if (!membership) return unknownPool(pool)
    const member = membership.present.get(id)
    if (!member) return refusal('unknownBackend', `"${id}" is not in pool "${pool}": register it`)
    return { membership, member }
  }
}
