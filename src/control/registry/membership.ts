/**
 * The members of one pool, and the immutable view of them that the data plane reads. An id has at most one present
 * member; its predecessors stay beside it and drain until their calls have ended.
 */
import {
  addressesOf,
  type Backend,
  haveSameAddresses,
  mainAddress,
  type PoolView,
} from '../../core/backend.ts'
import { addresses, leaseFrom, type Member, missed, sameBackend, toBackend } from './member.ts'
import { Preservation } from './preservation.ts'
import {
  type BackendStatus,
  BOUNDS,
  DRAIN_MS,
  type FoundBackend,
  LEASE,
  type PoolStatus,
  type Registration,
  type StaticBackend,
  staticId,
  ttlOf,
} from './registration.ts'
import type { Supply } from './supply.ts'

export interface Tombstone {
  readonly epoch: number
  /**
   * Removed on purpose: the same epoch is refused, too. Otherwise only older ones are, since only the lease ran out.
   */
  readonly removed: boolean
  /** Monotonic milliseconds. */
  readonly until: number
}

/** Bounds the memory that a stream of ever new ids can take. */
const MAX_TOMBSTONES = 4096

type MemberAdmission = Registration & {
  readonly epoch: number
  readonly source: Member['source']
  readonly instance?: string
  /** The generation that another gateway has given; left out: the next one of this gateway. */
  readonly generation?: number
}

/** The epoch of discovered backends, whose age is unknown: any registration under their id is newer. */
const NO_EPOCH = -1

const UNPROBED = 'not probed: health checks are off'
const PRESERVING = 'many leases were missed at once, so nobody is removed for now (five minutes at most)'

export interface RemovedMember {
  readonly member: Member
  readonly why: 'drained' | 'drain deadline' | 'lease expired'
}

export class Membership {
  readonly pool: string
  readonly present = new Map<string, Member>()
  readonly leaving = new Set<Member>()
  declared = true
  frozen = false
  /** A discovered backend found no room. */
  isShort = false
  view: PoolView
  readonly #supply: Supply
  #probed = true
  readonly #preservation = new Preservation()
  readonly #tombstones = new Map<string, Tombstone>()
  #discovered: readonly FoundBackend[] = []

  constructor(pool: string, supply: Supply) {
    this.pool = pool
    this.#supply = supply
    this.view = { pool, revision: 0, backends: [] }
  }

  get all(): Member[] {
    return [...this.present.values(), ...this.leaving]
  }

  tombstone(id: string, now: number): Tombstone | undefined {
    const found = this.#tombstones.get(id)
    if (found && found.until > now) return found
    this.#tombstones.delete(id)
    return undefined
  }

  addTombstone(id: string, tombstone: Tombstone): void {
    this.#tombstones.delete(id)
    this.#tombstones.set(id, tombstone)
    if (this.#tombstones.size <= MAX_TOMBSTONES) return
    const oldest = this.#tombstones.keys().next().value
    if (oldest !== undefined) this.#tombstones.delete(oldest)
  }

  /**
   * Removes members that are drained, or whose lease was missed for longer than its grace. `notBefore` delays removal
   * for missed leases.
   */
  sweep(now: number, inflight: (slot: number) => number, notBefore: number): RemovedMember[] {
    const leased = this.all.filter((member) => member.lease !== undefined && !member.drain)
    const late = leased.filter((member) => missed(member, now))
    this.frozen = this.#preservation.frozen(late.length, leased.length, now)
    const gone: RemovedMember[] = []
    for (const member of this.all) {
      const why =
        this.#due(member, now, inflight) ?? (now < notBefore ? undefined : this.#expired(member, now))
      if (why === undefined) continue
      gone.push({ member, why })
      if (!this.leaving.delete(member)) this.present.delete(member.id)
    }
    return gone
  }

  /** Drains a member and then removes it. */
  dismiss(member: Member, drainMs: number, now: number): void {
    const deadline = Math.min(now + drainMs, member.drain?.deadline ?? Infinity)
    member.drain = { deadline, thenRemove: true, reason: 'draining before removal' }
    if (member.source === 'registered') {
      this.addTombstone(member.id, {
        epoch: member.epoch,
        removed: true,
        until: deadline + LEASE.tombstoneMs,
      })
    }
  }

  /** Replaces the backends of the settings. One that is no longer listed is drained and removed. */
  declare(backends: readonly StaticBackend[], { now, wall }: { now: number; wall: number }): void {
    const wanted = new Map(backends.map((backend) => [backend.id ?? staticId(mainAddress(backend)), backend]))
    for (const member of this.present.values()) {
      if (member.source === 'static' && !wanted.has(member.id)) this.dismiss(member, DRAIN_MS, now)
    }
    for (const [id, backend] of wanted) {
      const known = this.present.get(id)
      if (known?.source === 'static' && haveSameAddresses(known, backend) && !known.drain?.thenRemove) {
        update(known, backend, now)
        continue
      }
      const member = this.admit(id, { ...backend, epoch: wall, source: 'static' }, now)
      if (!member) this.#full(id)
    }
  }

  #full(backend?: string): void {
    this.#supply.log.error('registry.full', { pool: this.pool, backend, max: BOUNDS.backends })
  }

  /**
   * Replaces the discovered backends; undefined: checks the last list again. One that is no longer listed is drained
   * and removed.
   */
  discover(now: number, found?: readonly FoundBackend[]): void {
    this.#discovered = found ?? this.#discovered
    // A registered backend overrides a discovered one at its address: it knows more, and also when it is leaving.
    const taken = new Set(this.all.filter(isOwn).flatMap(addressesOf))
    const wanted = new Map(
      this.#discovered
        .filter((backend) => !addressesOf(backend).some((address) => taken.has(address)))
        .map((backend) => [staticId(mainAddress(backend)), backend]),
    )
    for (const member of this.present.values()) {
      if (isOwn(member)) wanted.delete(member.id)
      else if (!wanted.has(member.id) && !member.drain?.thenRemove) this.dismiss(member, DRAIN_MS, now)
    }
    const wasShort = this.isShort
    this.isShort = false
    for (const [id, backend] of wanted) {
      const known = this.present.get(id)
      const isSame = known && haveSameAddresses(known, backend) && known.instance === backend.instance
      if (known && isSame && !known.drain?.thenRemove) {
        if (found) update(known, backend, now)
      } else if (!this.admit(id, { ...backend, epoch: NO_EPOCH, source: 'discovered' }, now))
        this.isShort = true
    }
    if (this.isShort && !wasShort) this.#full()
  }

  /** Adds a member; a predecessor under the same id drains beside it. */
  admit(id: string, given: MemberAdmission, now: number): Member | undefined {
    const known = this.present.get(id)
    const others = this.#supply.staying() - (known && !known.drain?.thenRemove ? 1 : 0)
    const slot = others < BOUNDS.backends ? this.#supply.slots.allocate(now) : undefined
    if (slot === undefined) return undefined
    if (known) {
      known.drain = {
        deadline: now + DRAIN_MS,
        thenRemove: true,
        reason: 'replaced by a newer registration',
      }
      known.lease = undefined
      this.leaving.add(known)
    }
    const member: Member = {
      id,
      slot,
      generation: given.generation ?? this.#supply.nextGeneration(),
      epoch: given.epoch,
      source: given.source,
      instance: given.instance,
      ...addresses(given),
      models: given.models ?? [],
      weight: given.weight ?? 1,
      zone: given.zone,
      concurrency: given.concurrency,
      labels: given.labels ?? {},
      load: undefined,
      health: this.#probed ? 'unknown' : 'well',
      healthReason: this.#probed ? 'not probed yet' : UNPROBED,
      readySince: 0,
      lease: given.source === 'registered' ? leaseFrom(now, ttlOf(given)) : undefined,
      drain: undefined,
    }
    this.present.set(id, member)
    this.#supply.changed(this.pool, 'joined')
    this.#supply.log.info('backend.registered', {
      pool: this.pool,
      backend: id,
      ...addresses(member),
      generation: member.generation,
    })
    return member
  }

  /** Extends every lease, after time in which no renewal could be received. */
  extendLeases(ms: number): void {
    for (const { lease } of this.all) {
      if (!lease) continue
      lease.until += ms
      lease.removeAt += ms
    }
  }

  setProbed(probed: boolean): void {
    this.#probed = probed
    if (probed) return
    for (const member of this.present.values()) {
      member.health = 'well'
      member.healthReason = UNPROBED
    }
  }

  status(now: number, inflight: (slot: number) => number): PoolStatus {
    const bySlot = new Map(this.view.backends.map((backend) => [backend.slot, backend]))
    const backends = this.all.flatMap((member): BackendStatus[] => {
      const backend = bySlot.get(member.slot)
      if (!backend) return []
      const lease = member.lease ? { leaseRemainingMs: Math.round(member.lease.until - now) } : {}
      const load = member.load ? { load: member.load } : {}
      const { source, epoch, labels } = member
      return [{ ...backend, source, epoch, labels, inflight: inflight(member.slot), ...load, ...lease }]
    })
    const preservation = this.frozen ? { preservation: PRESERVING } : {}
    return { pool: this.pool, revision: this.view.revision, ...preservation, backends }
  }

  #due(member: Member, now: number, inflight: (slot: number) => number): RemovedMember['why'] | undefined {
    if (!member.drain?.thenRemove) return undefined
    if (member.drain.deadline !== undefined && member.drain.deadline <= now) return 'drain deadline'
    return inflight(member.slot) <= 0 ? 'drained' : undefined
  }

  #expired(member: Member, now: number): RemovedMember['why'] | undefined {
    if (!member.lease || member.lease.removeAt > now || this.frozen) return undefined
    return 'lease expired'
  }

  /** Makes a new view where something in it changed; returns whether it did. */
  refresh(now: number, wall: number): boolean {
    const before = this.view.backends
    const bySlot = new Map(before.map((backend) => [backend.slot, backend]))
    const backends = this.all.map((member): Backend => {
      const next = toBackend(member, now, { wall, frozen: this.frozen })
      const old = bySlot.get(next.slot)
      return old && sameBackend(old, next) ? old : Object.freeze(next)
    })
    const same = before.length === backends.length && backends.every((backend, i) => backend === before[i])
    if (same && this.view.revision > 0) return false
    this.view = Object.freeze({
      pool: this.pool,
      revision: this.view.revision + 1,
      backends: Object.freeze(backends),
    })
    return true
  }
}

function isOwn({ source }: Member): boolean {
  return source !== 'discovered'
}

/** Applies a repeated registration and renews the lease. */
export function update(member: Member, given: Omit<Registration, 'epoch'>, now: number): void {
  member.models = given.models ?? []
  member.weight = given.weight ?? 1
  member.zone = given.zone
  member.concurrency = given.concurrency
  member.labels = given.labels ?? {}
  if (member.lease) member.lease = leaseFrom(now, ttlOf(given))
}
