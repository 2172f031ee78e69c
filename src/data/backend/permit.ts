/** A call's request for a place at a backend of a pool, and the permit that it gets. */
import type { Backend } from '../../core/backend.ts'
import type { Labels } from '../../core/identity.ts'
import type { Digest } from '../../core/key.ts'
import type { Signal } from '../../lib/cancel.ts'

/** What a call requires of a backend. */
export interface PermitRequest {
  readonly model: string | undefined
  readonly version: string | undefined
  readonly key: Digest | undefined
  /** Labels that the backend must have; undefined: any backend will do. */
  readonly labels?: Labels | undefined
  /** Monotonic. */
  readonly deadline: number
  readonly signal: Signal
}

/** A call's right to run at a backend, from its start until `leave`. */
export interface Permit {
  readonly backend: Backend
  readonly incarnation: number
  readonly since: number
  /** Calls at the backend when this one began, itself included; 0 while the backend warms up. */
  readonly inflightAtStart: number
}
