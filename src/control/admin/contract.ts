/** What the admin API is made of, and what it needs of the rest of the gateway. */
import type { AddressRules } from '../../core/addresses.ts'
import type { Registry } from '../registry/registry.ts'
import type { Scope } from './auth.ts'
import type { ExplainRequest, PurgeRequest } from './bodies.ts'

/** What the rest of the gateway does for the admin API. A GatewayError thrown here keeps its status and message. */
export interface AdminParts {
  ready(): { readonly ok: boolean; readonly reasons: readonly string[] }
  metrics(): Promise<{ readonly contentType: string; readonly body: string }>
  /** Answers what became unreachable. */
  purge(request: PurgeRequest): Promise<unknown>
  explain(request: ExplainRequest): Promise<unknown>
  stats(): unknown
  /** Undefined from it: no such pool. Left out: this gateway does not scale. */
  scale?(pool?: string): unknown
  /** Resolves when what was just written is in force everywhere, and soon in any case; never rejects. Left out: it is at once. */
  settled?(): Promise<void>
  /** How the calls of a pool fare; undefined: nobody knows. */
  traffic(pool: string): PoolTrafficView | undefined
}

/** What the data plane says of a pool: some numbers of its own, and more of each backend, by slot. */
export interface PoolTrafficView {
  readonly backends: readonly { readonly slot: number }[]
}

export interface AdminContext {
  readonly registry: Registry
  readonly rules: AddressRules
  readonly parts: AdminParts
}

export interface AdminRequest {
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** The parsed JSON body; undefined where the method has none. */
  readonly body: unknown
}

export type AdminReply =
  | { readonly status: number; readonly json: unknown }
  | { readonly status: number; readonly contentType: string; readonly text: string }

export interface AdminRoute {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'
  /** `:name` is one segment. */
  readonly path: string
  readonly scope: Scope
  readonly maxBodyBytes?: number
  /** `events`: the answer is the event stream. */
  readonly answer:
    | ((request: AdminRequest, context: AdminContext) => AdminReply | Promise<AdminReply>)
    | 'events'
}
