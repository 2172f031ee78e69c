/**
 * One backend inside the registry: its registration, lease, health and drain, and the function that derives its state
 * from them. Lease and health are different: the lease means that the backend wants calls, health that it may have
 * them.
 */
import {
  type Backend,
  type BackendAddresses,
  type BackendState,
  haveSameAddresses,
  type ModelOffer,
} from '../../core/backend.ts'
import type { Labels } from '../../core/labels.ts'
import type { BackendPatch } from './registration.ts'

export interface Member extends BackendAddresses {
  readonly id: string
  readonly slot: number
  generation: number
  readonly epoch: number
  readonly source: 'static' | 'registered' | 'discovered'
  /** Distinguishes processes at one address; only of discovered ones. */
  readonly instance: string | undefined
  models: readonly ModelOffer[]
  weight: number
  zone: string | undefined
  concurrency: number | undefined
  labels: Readonly<Record<string, string>>
  load: Readonly<Record<string, number>> | undefined
  health: 'unknown' | 'well' | 'sick'
  healthReason: string
  /** Wall time since when it was continuously ready; 0: it is not. */
  readySince: number
  lease: LeaseTimes | undefined
  drain: Drain | undefined
}

/** What a probe found out about one generation. */
export interface HealthVerdict {
  readonly generation: number
  readonly reason: string
  readonly health: Member['health']
}

/** Monotonic milliseconds throughout. */
export interface LeaseTimes {
  ttlMs: number
  /** When the lease is missed. */
  until: number
  /** When the backend is removed; at least one TTL after `until`. */
  removeAt: number
}

export interface Drain {
  /** Monotonic; undefined: until the backend is removed or the drain ends. */
  readonly deadline: number | undefined
  /** Remove it once no call runs on it; its id then refuses this epoch. */
  readonly thenRemove: boolean
  readonly reason: string
}

/** A lease renewed now. */
export function leaseFrom(now: number, ttlMs: number): LeaseTimes {
  return { ttlMs, until: now + ttlMs, removeAt: now + 2 * ttlMs }
}

export function missed(member: Member, now: number): boolean {
  return member.lease !== undefined && member.lease.until <= now
}

/** The effective state and why. `frozen`: self-preservation keeps the pool's missed backends. */
export function stateOf(
  member: Member,
  now: number,
  frozen: boolean,
): { state: BackendState; reason: string } {
  if (member.drain) return { state: 'draining', reason: member.drain.reason }
  if (member.health === 'sick') return { state: 'unhealthy', reason: member.healthReason }
  if (member.health === 'unknown') return { state: 'warming', reason: member.healthReason }
  if (missed(member, now)) {
    const kept = frozen ? '; kept, because too many of the pool missed theirs at once' : ''
    return { state: 'suspect', reason: `lease missed${kept}` }
  }
  return { state: 'ready', reason: member.healthReason }
}

/** Applies a patch. Only an operator may end an operator's drain. */
export function amend(member: Member, { weight, models, state }: BackendPatch): void {
  member.weight = weight ?? member.weight
  member.models = models ?? member.models
  if (state === 'draining') {
    member.drain ??= { deadline: undefined, thenRemove: false, reason: 'draining on request' }
  } else if (state === 'ready') member.drain = undefined
}

/** The member as the data plane sees it. Changes `readySince` when readiness begins or ends. */
export function toBackend(member: Member, now: number, options: { wall: number; frozen: boolean }): Backend {
  const { state, reason } = stateOf(member, now, options.frozen)
  if (state === 'ready') member.readySince ||= options.wall
  else if (state !== 'suspect') member.readySince = 0
  return {
    id: member.id,
    slot: member.slot,
    generation: member.generation,
    ...addresses(member),
    models: member.models,
    weight: member.weight,
    ...(member.zone === undefined ? {} : { zone: member.zone }),
    ...(member.concurrency === undefined ? {} : { concurrency: member.concurrency }),
    ...(Object.keys(member.labels).length === 0 ? {} : { labels: member.labels }),
    state,
    reason,
    readySince: member.readySince,
  }
}

/** Only the addresses that there are. */
export function addresses({ url, grpc }: BackendAddresses): BackendAddresses {
  return { ...(url === undefined ? {} : { url }), ...(grpc === undefined ? {} : { grpc }) }
}

/** True where the two are equal for the data plane. */
export function sameBackend(a: Backend, b: Backend): boolean {
  return (
    a.slot === b.slot &&
    a.generation === b.generation &&
    haveSameAddresses(a, b) &&
    a.state === b.state &&
    a.reason === b.reason &&
    a.weight === b.weight &&
    a.zone === b.zone &&
    a.concurrency === b.concurrency &&
    a.readySince === b.readySince &&
    sameLabels(a.labels, b.labels) &&
    sameModels(a.models, b.models)
  )
}

function sameLabels(a: Labels = {}, b: Labels = {}): boolean {
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name])
}

export function sameModels(a: readonly ModelOffer[], b: readonly ModelOffer[]): boolean {
  if (a === b) return true
  return (
    a.length === b.length &&
    a.every((offer, i) => {
      const other = b[i]
      return (
        other !== undefined &&
        offer.name === other.name &&
        offer.version === other.version &&
        offer.digest === other.digest &&
        offer.maxBatch === other.maxBatch
      )
    })
  )
}
