/**
 * What is said to the registry and what it answers: plain data, so that the admin API, discovery and the
 * settings all speak to it in the same words.
 */
import type { Backend, ModelOffer } from '../../core/backend.ts'

export const LEASE = {
  defaultTtlMs: 15_000,
  minTtlMs: 3_000,
  maxTtlMs: 600_000,
  /** How long a removed id keeps refusing older epochs. */
  tombstoneMs: 300_000,
} as const

/** What is accepted of a registration; larger is refused by whoever reads it from outside. */
export const BOUNDS = {
  backends: 1024,
  idLength: 128,
  urlLength: 2_048,
  models: 256,
  nameLength: 256,
  labels: 64,
  labelLength: 256,
  maxWeight: 1_000,
  maxDrainMs: 3_600_000,
} as const

/** How long running calls get to finish when nobody says otherwise, in milliseconds. */
export const DRAIN_MS = 30_000

/** What happened to a registered backend by a call of the admin API here, for those who tell other gateways. */
export interface Change {
  readonly pool: string
  readonly id: string
  readonly kind: 'registered' | 'renewed' | 'changed' | 'removed'
}

/** As the settings have it. */
export const POOL_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/
export const ID_PATTERN = /^[A-Za-z0-9._:-]{1,128}$/

/** A backend that asks for calls. `url` is canonical already. */
export interface Registration {
  readonly url: string
  /** The process's own claim of its age, usually its start in epoch milliseconds; default: now. */
  readonly epoch?: number
  readonly models?: readonly ModelOffer[]
  readonly weight?: number
  readonly zone?: string
  readonly concurrency?: number
  readonly ttlMs?: number
  readonly labels?: Readonly<Record<string, string>>
}

/** A backend of the settings: no lease, it stays until the settings change. */
export interface StaticBackend {
  readonly url: string
  /** Default: made from the URL. */
  readonly id?: string
  readonly weight?: number
  readonly models?: readonly ModelOffer[]
  readonly zone?: string
  readonly concurrency?: number
}

/** A backend that a source has found: no lease, it stays until its source leaves it out. */
export interface FoundBackend {
  readonly url: string
  /** Which process is meant, where the source tells: another one at the same address is another backend. */
  readonly instance?: string
  readonly weight?: number
  readonly zone?: string
  readonly models?: readonly ModelOffer[]
  readonly concurrency?: number
  readonly labels?: Readonly<Record<string, string>>
}

export interface PoolDeclaration {
  readonly name: string
  readonly backends?: readonly StaticBackend[]
  /** False: nobody probes this pool, so its backends are ready as soon as they are known. Default true. */
  readonly probed?: boolean
}

export interface Renewal {
  readonly generation: number
  /** What the backend says of its own load, in its own names; shown to operators. */
  readonly load?: Readonly<Record<string, number>>
}

export interface BackendPatch {
  readonly weight?: number
  readonly models?: readonly ModelOffer[]
  /** `draining` takes no new call and stays listed; `ready` ends that. */
  readonly state?: 'draining' | 'ready'
}

export interface RemoveOptions {
  /** How long running calls may take to finish, in milliseconds; default 30 s. With 0 nobody waits for them. */
  readonly drainMs?: number
  /** Only this generation is meant; undefined: an operator's act on whatever is there. */
  readonly generation?: number
}

/** `unknownPool` and `unknownBackend`: not there. `conflict`: older epoch. `fenced`: older generation. `full`: no room. */
export interface RegistrationRefusal {
  readonly refused: 'unknownPool' | 'unknownBackend' | 'conflict' | 'fenced' | 'full'
  readonly message: string
}

export interface LeaseGrant {
  readonly created: boolean
  readonly generation: number
  readonly ttlMs: number
  /** When to renew: a third of the TTL, so that two renewals may be lost. */
  readonly renewAfterMs: number
  readonly state: Backend['state']
}

export interface Removal {
  readonly generation: number
  readonly inflight: number
  /** Milliseconds until it goes even with calls running; 0: it is gone. */
  readonly drainMs: number
}

/** A backend as the operator sees it. */
export interface BackendStatus extends Backend {
  readonly source: 'static' | 'registered' | 'discovered'
  readonly epoch: number
  readonly labels: Readonly<Record<string, string>>
  readonly inflight: number
  /** As of the last renewal. */
  readonly load?: Readonly<Record<string, number>>
  /** Until the lease is missed; negative: missed since. Undefined: static, no lease. */
  readonly leaseRemainingMs?: number
}

export interface PoolStatus {
  readonly pool: string
  readonly revision: number
  /** Why no backend is removed just now, when so many leases were missed that the fault may be ours. */
  readonly preservation?: string
  readonly backends: readonly BackendStatus[]
}

/** What is granted of the lease that was asked for. */
export function ttlOf({ ttlMs = LEASE.defaultTtlMs }: Registration): number {
  return Math.min(LEASE.maxTtlMs, Math.max(LEASE.minTtlMs, ttlMs))
}

/** The id of a backend that was given none: `http://10.0.0.4:8000/a` is `10.0.0.4:8000-a`. */
export function staticId(url: string): string {
  return url
    .replace(/^http:\/\//, '')
    .replace('://', ':')
    .replace(/[[\]]/g, '')
    .replace(/[^A-Za-z0-9._:-]/g, '-')
    .slice(0, BOUNDS.idLength)
}

export function refusal(refused: RegistrationRefusal['refused'], message: string): RegistrationRefusal {
  return { refused, message }
}

export function unknownPool(pool: string): RegistrationRefusal {
  return refusal('unknownPool', `there is no pool "${pool}": name it under pools in the settings first`)
}

export function fenced(id: string, given: number, present: number): RegistrationRefusal {
  return refusal('fenced', `generation ${given} of "${id}" is not the present one (${present})`)
}
