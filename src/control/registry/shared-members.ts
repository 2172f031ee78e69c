/**
 * The records of registered backends that gateways share, and how they are merged into the membership of this gateway.
 */
import { BlockList, isIP } from 'node:net'
import { parseBackendUrl } from '../../core/addresses.ts'
import { addressesOf, type BackendAddresses, type ModelOffer } from '../../core/backend.ts'
import type { Signer } from '../../lib/signer.ts'
import { addresses, type Member } from './member.ts'
import { type Membership, update } from './membership.ts'
import { BOUNDS, ID_PATTERN, LEASE } from './registration.ts'

export interface SharedRecord extends BackendAddresses {
  readonly id: string
  readonly epoch: number
  readonly generation: number
  readonly models: readonly ModelOffer[]
  readonly weight: number
  readonly zone?: string
  readonly concurrency?: number
  readonly labels: Readonly<Record<string, string>>
  /** The lease's TTL; of a removed backend, how long its epoch is refused. */
  readonly ttlMs: number
  readonly state: 'present' | 'draining' | 'removed'
  /** How long a removed backend may finish its calls, from when the record was written. */
  readonly drainMs: number
  /** The machine of the gateway that wrote it: a loopback address is valid only there. */
  readonly machine: string
}

export function recordOf(member: Member, { now, machine }: { now: number; machine: string }): SharedRecord {
  const { id, epoch, generation, models, weight, zone, concurrency, labels, drain, lease } = member
  const isRemoved = drain?.thenRemove === true
  return {
    id,
    ...addresses(member),
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

/** What signs records where others can write to the store. */
export type RecordSigner = Pick<Signer, 'sign' | 'verifies'>

/** The record as it is stored; with a signature in its last member, where the store's scripts do not mind it. */
export function writeRecord(pool: string, record: SharedRecord, signer: RecordSigner | undefined): string {
  const text = JSON.stringify(record)
  if (!signer) return text
  return `${text.slice(0, -1)},"signature":"${signer.sign(pool, text).toString('base64url')}"}`
}

const SIGNED = /^(.*),"signature":"([A-Za-z0-9_-]+)"\}$/s

/** The text without its signature; undefined: it was not signed for this pool. */
export function verifiedRecord(pool: string, text: string, signer: RecordSigner): string | undefined {
  const [, members = '', signature = ''] = SIGNED.exec(text) ?? []
  const record = `${members}}`
  return signer.verifies(pool, record, Buffer.from(signature, 'base64url')) ? record : undefined
}

/**
 * Parses a record of the store; undefined for an invalid one. Others may write to the store, and one broken record must
 * not hide the rest.
 */
export function readRecord(text: string): SharedRecord | undefined {
  const record = parsed(text) as Partial<Record<keyof SharedRecord, unknown>> | null
  if (typeof record !== 'object' || record === null) return undefined
  const { id, url, grpc, models, labels, machine, state, zone, concurrency } = record
  const numbers = [record.epoch, record.generation, record.weight, record.ttlMs, record.drainMs]
  const isRight =
    typeof id === 'string' &&
    ID_PATTERN.test(id) &&
    (url !== undefined || grpc !== undefined) &&
    isAddress(url) &&
    isAddress(grpc) &&
    numbers.every((number) => typeof number === 'number' && Number.isFinite(number)) &&
    areModels(models) &&
    areLabels(labels) &&
    typeof machine === 'string' &&
    ['present', 'draining', 'removed'].includes(state as string) &&
    (zone === undefined || isShort(zone)) &&
    (concurrency === undefined || Number.isSafeInteger(concurrency))
  return isRight ? (record as SharedRecord) : undefined
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Undefined, or a backend's URL in its canonical form. */
function isAddress(value: unknown): boolean {
  if (value === undefined) return true
  const parsedUrl = typeof value === 'string' ? parseBackendUrl(value) : undefined
  return parsedUrl !== undefined && 'url' in parsedUrl && parsedUrl.url === value
}

const isShort = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= BOUNDS.nameLength

function areModels(value: unknown): value is readonly ModelOffer[] {
  if (!Array.isArray(value) || value.length > BOUNDS.models) return false
  return value.every((model: unknown) => {
    const { name, version = '', digest = '', maxBatch = 1 } = Object(model) as Record<string, unknown>
    return isShort(name) && isShort(version) && isShort(digest) && Number.isSafeInteger(maxBatch)
  })
}

function areLabels(value: unknown): value is Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) return false
  const labels = Object.entries(value)
  return labels.length <= BOUNDS.labels && labels.every((pair) => pair.every(isShort))
}

export interface AdoptionContext {
  readonly now: number
  /** The name of this machine. */
  readonly machine: string
  /** Until the lease ends, in milliseconds; negative: missed since. */
  readonly leftMs: number
}

/** Applies a record of another gateway, unless something newer is known. */
export function adopt(
  membership: Membership,
  record: SharedRecord,
  { now, machine, leftMs }: AdoptionContext,
): void {
  const known = membership.present.get(record.id)
  if (known && (known.source === 'static' || known.epoch > record.epoch)) return
  if (addressesOf(record).some(isLoopback) && record.machine !== machine) return
  if (record.state === 'removed') return remove(membership, record, now)
  if (known?.epoch === record.epoch) {
    if (known.drain?.thenRemove) return
    // It was registered at two gateways at once: the generation in the store is valid for all.
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
  // The lease began when the other gateway received the registration.
  member.lease = { ttlMs: record.ttlMs, until: now + leftMs, removeAt: now + leftMs + record.ttlMs }
}

/** Extends the lease to that in the store, where it is longer. */
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
    membership.addTombstone(record.id, { epoch: record.epoch, removed: true, until: now + LEASE.tombstoneMs })
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
