/**
 * Backends and pools as the control plane publishes them to the data plane. A view is immutable; a change is a new view
 * with a higher revision. Everything here survives structuredClone.
 */

import type { Labels } from './labels.ts'

export interface ModelOffer {
  readonly name: string
  readonly version?: string
  /** Digest of the model's file; a new one is a new deployment. */
  readonly digest?: string
  /** The most rows one upstream request may carry. */
  readonly maxBatch?: number
}

/** How a backend is called: `http`: over HTTP/1.1; `grpc`: over HTTP/2. */
export type Transport = 'http' | 'grpc'

/**
 * `warming`: known, never yet seen well. `ready`. `suspect`: a lease missed, kept for the case that nothing
 * better is left. `unhealthy`: probes fail. `draining`: no new call, the running ones finish.
 */
export type BackendState = 'warming' | 'ready' | 'suspect' | 'unhealthy' | 'draining'

/** Where a backend is called. At least one of the two is there: `http(s)://host:port`, optionally with a path prefix; no trailing slash. */
export interface BackendAddresses {
  /** For calls over HTTP/1.1; left out: it takes none. */
  readonly url?: string | undefined
  /** For calls of gRPC, over HTTP/2; left out: it takes none. */
  readonly grpc?: string | undefined
}

/** Undefined: the backend takes no calls of this kind. */
export function addressOf({ url, grpc }: BackendAddresses, transport: Transport): string | undefined {
  return transport === 'grpc' ? grpc : url
}

/** The address by which a backend is known where it has no id. */
export function mainAddress({ url, grpc }: BackendAddresses): string {
  return url ?? grpc ?? ''
}

/** All addresses, one or two. */
export function addressesOf({ url, grpc }: BackendAddresses): readonly string[] {
  return [url, grpc].flatMap((address) => address ?? [])
}

export function haveSameAddresses(a: BackendAddresses, b: BackendAddresses): boolean {
  return a.url === b.url && a.grpc === b.grpc
}

export interface Backend extends BackendAddresses {
  readonly id: string
  /** Index in the shared counters; reused for another backend only under a new generation. */
  readonly slot: number
  /** Grows with each registration under this id; what carries an older one is fenced off. */
  readonly generation: number
  /** Empty: whatever the pool serves. */
  readonly models: readonly ModelOffer[]
  readonly weight: number
  readonly zone?: string
  /** Marks by which tenants are kept to some backends. */
  readonly labels?: Labels
  /** Calls it wants at a time; undefined: not declared. */
  readonly concurrency?: number
  readonly state: BackendState
  /** Why it is in this state, for people. */
  readonly reason: string
  /** Wall time since when it is ready, for slow start. */
  readonly readySince: number
}

export interface PoolView {
  readonly pool: string
  readonly revision: number
  readonly backends: readonly Backend[]
}
