/** What gateways tell each other of a registered backend, and how it comes into the membership here. */
import { BlockList, isIP } from 'node:net'
import type { ModelOffer } from '../core/backend.ts'
import type { Member } from './member.ts'
import { type Membership, update } from './membership.ts'
import { LEASE } from './registration.ts'

export interface SharedRecord {
  readonly id: string
  readonly url: string
  readonly epoch: number
  readonly generation: number
  readonly models: readonly ModelOffer[]
  readonly weight: number
  readonly zone?: string
  readonly concurrency?: number
  readonly labels: Readonly<Record<string, string>>
  /** Of the lease; of a removed one, how long its epoch stays out. */
  readonly ttlMs: number
  readonly state: 'present' | 'draining' | 'removed'
  /** How long a removed one may finish its calls, from when it was said. */
  readonly drainMs: number
  /** The machine it was said on: a loopback address means something only there. */
  readonly machine: string
}

export function recordOf(member: Member, { now, machine }: { now: number; machine: string }): SharedRecord {
  const { id, url, epoch, generation, models, weight, zone, concurrency, labels, drain, lease } = member
  const isRemoved = drain?.thenRemove === true
  return {
    id,
    url,
    epoch,
    generation,
    models,
    weight,
    ...(zone === undefined ? {} : { zone }),
    ...(concurrency === undefined ? {} : { concurrency }),
    labels,
    ttlMs: isRemoved ? LEASE.tombstoneMs : (lease?.ttlMs ?? LEASE.defaultTtlMs),
    state: isRemoved ? 'removed' : drain ? 'draining' : 'present',
    drainMs: isRemoved ? Math.max(0, (drain.deadline ?? now) - now) : 0,
    machine,
  }
}

export interface Heard {
  readonly now: number
  /** This one. */
  readonly machine: string
  /** Until the lease ends, in milliseconds; negative: missed since. */
  readonly leftMs: number
}

/** Takes over what another gateway said; what we know to be newer stays. */
export function adopt(membership: Membership, record: SharedRecord, { now, machine, leftMs }: Heard): void {
  const known = membership.present.get(record.id)
  if (known && (known.source === 'static' || known.epoch > record.epoch)) return
  if (isLoopback(record.url) && record.machine !== machine) return
  if (record.state === 'removed') return remove(membership, record, now)
  if (known?.epoch === record.epoch) {
    if (known.drain?.thenRemove) return
    // Registered at two gateways at once: the store's generation is everybody's.
    known.generation = record.generation
    update(known, { ...record, ttlMs: known.lease?.ttlMs ?? record.ttlMs }, now)
    drain(known, record)
    return
  }
  const buried = membership.tombstone(record.id, now)
  if (
    leftMs <= -record.ttlMs ||
    (buried && (buried.epoch > record.epoch || (buried.removed && buried.epoch === record.epoch)))
  )
    return
  const member = membership.admit(record.id, { ...record, source: 'registered' }, now)
  if (!member) return
  drain(member, record)
  // The lease began when the other gateway heard of it, and not now.
  member.lease = { ttlMs: record.ttlMs, until: now + leftMs, removeAt: now + leftMs + record.ttlMs }
}

/** The lease as the store has it, where that is longer. */
export function extend(
  member: Member,
  generation: number,
  { now, leftMs }: { now: number; leftMs: number },
): void {
  const { lease } = member
  if (!lease || member.generation !== generation) return
  const until = now + leftMs
  if (until <= lease.until) return
  lease.until = until
  lease.removeAt = until + lease.ttlMs
}

function remove(membership: Membership, record: SharedRecord, now: number): void {
  const known = membership.present.get(record.id)
  if (known?.source === 'discovered') return
  if (known && !known.drain?.thenRemove) membership.dismiss(known, record.drainMs, now)
  if (!known) {
    membership.bury(record.id, { epoch: record.epoch, removed: true, until: now + LEASE.tombstoneMs })
  }
}

function drain(member: Member, { state }: SharedRecord): void {
  if (state === 'present') member.drain = undefined
  else member.drain ??= { deadline: undefined, thenRemove: false, reason: 'draining on request' }
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

function isLoopback(url: string): boolean {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '')
  const family = isIP(host)
  return host === 'localhost' || (family !== 0 && LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4'))
}
