/** A call's request for a place at a backend of a pool, and the permit that it gets. */
import type { Backend, Transport } from '../../core/backend.ts'
import type { Digest } from '../../core/key.ts'
import type { Labels } from '../../core/labels.ts'
import type { PromptPrefix } from '../../core/prompt-prefix.ts'
import type { Charge, TenantShare } from '../../core/tenant-share.ts'
import type { Signal } from '../../lib/cancel.ts'

/** What a call requires of a backend. */
export interface PermitRequest {
  readonly model: string | undefined
  readonly version: string | undefined
  readonly key: Digest | undefined
  /** The beginning of the prompt, for a pool whose policy reads it. */
  readonly prefix?: PromptPrefix | undefined
  /** For which the backend must have an address; left out: for either. */
  readonly transport?: Transport
  /** Labels that the backend must have; undefined: any backend will do. */
  readonly labels?: Labels | undefined
  /** Monotonic. */
  readonly deadline: number
  readonly signal: Signal
  /** By whose share the call waits if it has to; undefined: there are no tenants. */
  readonly share?: TenantShare | undefined
  /** Who pays if it had to wait; left out: the tenant of `share`, one row. */
  readonly charges?: readonly Charge[]
  /** Set while the call waits: called when `share` has changed. */
  onPromoted?: (() => void) | undefined
}

/** A call's right to run at a backend, from its start until `leave`. */
export interface Permit {
  readonly backend: Backend
  readonly incarnation: number
  readonly since: number
  /** Calls at the backend when this one began, itself included; 0 while the backend warms up. */
  readonly inflightAtStart: number
  /** Set once an answer that streams has begun: how long that took, which is the latency that counts; how long it goes on is the caller's wish. */
  firstMs?: number
  /** The account of its tenant, if that has places of its own. */
  readonly floor?: number | undefined
}
