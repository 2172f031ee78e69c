/** The requests and answers of the registry as plain data, common to the admin API, discovery and the settings. */
import type { Backend, BackendAddresses, ModelOffer } from '../../core/backend.ts'

export const LEASE = {
  defaultTtlMs: 15_000,
  minTtlMs: 3_000,
  maxTtlMs: 600_000,
  /** How long a removed id keeps refusing older epochs. */
  tombstoneMs: 300_000,
} as const

/** Bounds of a registration; whoever reads one from outside refuses larger ones. */
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

/** Default time for running calls to finish, in milliseconds. */
export const DRAIN_MS = 30_000

/** A change of a registered backend by the admin API of this gateway, for the other gateways. */
export interface Change {
  readonly pool: string
  readonly id: string
  readonly kind: 'registered' | 'renewed' | 'changed' | 'removed'
}

/** As the settings have it. */
export const POOL_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/
export const ID_PATTERN = /^[A-Za-z0-9._:-]{1,128}$/

/** A backend that asks for calls. Its addresses are canonical already. */
export interface Registration extends BackendAddresses {
  /** What the process claims as its age, usually its start in epoch milliseconds; default: now. */
  readonly epoch?: number
  readonly models?: readonly ModelOffer[]
  readonly weight?: number
  readonly zone?: string
  readonly concurrency?: number
  readonly ttlMs?: number
  readonly labels?: Readonly<Record<string, string>>
}

/** A backend of the settings. It has no lease and stays until the settings change. */
export interface StaticBackend extends BackendAddresses {
  /** Default: made from the address. */
  readonly id?: string
  readonly weight?: number
  readonly models?: readonly ModelOffer[]
  readonly zone?: string
  readonly concurrency?: number
  readonly labels?: Readonly<Record<string, string>>
}

/** A backend that a source has found. It has no lease and stays until its source no longer lists it. */
export interface FoundBackend extends BackendAddresses {
  /** Identifies the process, where the source can: another one at the same address is another backend. */
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
  /** False: the pool is not probed, so its backends are ready as soon as they are known. Default true. */
  readonly probed?: boolean
}

export interface Renewal {
  readonly generation: number
  /** The load that the backend reports, in names of its own; shown to operators. */
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
  /** Removes this generation only; undefined: whatever is present, as an operator wants. */
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
  /** When to renew: after a third of the TTL, so that two renewals may be lost. */
  readonly renewAfterMs: number
  readonly state: Backend['state']
}

export interface Removal {
  readonly generation: number
  readonly inflight: number
  /** Milliseconds until it is removed even if calls run; 0: it is removed. */
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
  /** Milliseconds until the lease is missed; negative: since it was. Undefined: no lease. */
  readonly leaseRemainingMs?: number
}

export interface PoolStatus {
  readonly pool: string
  readonly revision: number
  /** Why no backend is removed at present: so many leases were missed that the fault may be the gateway's. */
  readonly preservation?: string
  readonly backends: readonly BackendStatus[]
}

/** The lease that is granted for a request. */
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
