/** The interfaces of the admin API: its routes, and what it needs from the rest of the gateway. */
import type { AddressRules } from '../../core/addresses.ts'
import type { CallLine } from '../../core/call-line.ts'
import type { LiveEvent } from '../../core/live.ts'
import type { MirrorCounts } from '../../core/mirror.ts'
import type { CallOrder, CallQuery } from '../calls/call-history.ts'
import type { Registry } from '../registry/registry.ts'
import type { Rollouts } from '../rollout/rollouts.ts'
import type { Warmings } from '../warm/warmings.ts'
import type { Scope } from './auth.ts'
import type { ExplainRequest, PurgeRequest } from './bodies.ts'

/** Functions of the gateway that the admin API calls. A GatewayError that they throw keeps its status and message. */
export interface AdminParts {
  ready(): { readonly ok: boolean; readonly reasons: readonly string[] }
  /** `accept`: the field of the request, which may ask for OpenMetrics. */
  metrics(accept: string | undefined): Promise<{ readonly contentType: string; readonly body: string }>
  /** Returns what became unreachable. */
  purge(request: PurgeRequest): Promise<unknown>
  explain(request: ExplainRequest): Promise<unknown>
  stats(): unknown
  /** What tenants have used: one of them, undefined where there is no such tenant, or all. */
  tenants(name?: string): Promise<unknown>
  /** The routes of the settings and where their calls go, with what became of copies. */
  routes(): readonly RouteTraffic[]
  /** Changes weights of a route's split: those of the pools that are named. Returns undefined where there is no such route. */
  weigh(route: string, weights: Readonly<Record<string, number>>): RouteTraffic | undefined
  /** Checks a change of where copies of a route's calls go, or makes it. Throws what is wrong with it. */
  mirror(route: string, patch: MirrorPatch, how: 'check' | 'change'): void
  /** The warmings that operators start and stop. Left out: there are none. */
  readonly warmings?: Pick<Warmings, 'start' | 'list' | 'find' | 'stop' | 'feed'>
  /** Left out: this gateway makes none. */
  readonly rollouts?: Pick<Rollouts, 'list' | 'find' | 'begin' | 'command' | 'dryRun'>
  /** Returns undefined where there is no such pool. Left out: this gateway does not scale. */
  scale?(pool?: string): unknown
  /**
   * Resolves when the last write is in force in every worker, or after a short timeout; never rejects. Left out: writes
   * are in force at once.
   */
  settled?(): Promise<void>
  /** The last calls worth telling of. Left out: none are kept. */
  calls?(
    query: CallQuery,
    options: { readonly order: CallOrder; readonly limit: number },
  ): readonly CallLine[]
  /** Whether there is an access log, which decides what `calls` has. */
  keepsCalls?(): boolean
  /** Has `follow` called with such calls as they happen. */
  followCalls?(follow: (line: CallLine) => void): void
  /** The state of a pool's traffic; undefined where it is unknown. */
  traffic(pool: string): PoolTrafficView | undefined
  /** What followers of the events are told besides the pools. Left out: nothing. */
  readonly live?: LiveSource
  /** A file of the dashboard, by its name; undefined: there is none. Left out: there is no dashboard. */
  page?(name: string): Promise<PageFile | undefined>
}

export interface PageFile {
  readonly contentType: string
  readonly body: Uint8Array
  /** Its entity tag, with the quotes. */
  readonly etag: string
}

/** Asked only while somebody follows the events. */
export interface LiveSource {
  /** What can be read at once. */
  state(): readonly LiveEvent[]
  /** What has to be collected from the workers. */
  counts(): Promise<readonly LiveEvent[]>
  /** The newest lines of the log, in JSON. */
  past(): readonly string[]
  /** Calls the listener with each further line; returns how to end that. */
  follow(listener: (line: string) => void): () => void
}

/** A route, and the pools that its calls go to. */
export interface RouteTraffic {
  readonly route: string
  /** What calls have in common that go to one pool; left out: there is only one. */
  readonly sticky?: string
  readonly pools: readonly {
    readonly pool: string
    /** In force; left out: it has all calls. */
    readonly weight?: number
    /** In the YAML. */
    readonly configured?: number
  }[]
  /** The pool that gets copies of its calls; left out: none does. */
  readonly mirror?: RouteMirrorView
}

/** What is left out stays as it is. */
export interface MirrorPatch {
  readonly pool?: string
  /** From 0 to 1. */
  readonly share?: number
  readonly compare?: boolean
}

export interface RouteMirrorView extends Required<MirrorPatch> {
  /** In the YAML; left out: it says none. */
  readonly configured?: Required<MirrorPatch>
  /** Since the start of the gateway; left out: it is not known. */
  readonly counts?: MirrorCounts
}

/** A pool's traffic: some numbers of the pool, and of each backend by slot. */
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
  /** The field of that name; undefined: there is none. */
  readonly accept: string | undefined
  /** The parsed JSON body; undefined where the method has none. */
  readonly body: unknown
}

export type AdminReply =
  | { readonly status: number; readonly json: unknown }
  | {
      readonly status: number
      readonly contentType: string
      readonly text: string | Uint8Array
      readonly headers?: Readonly<Record<string, string>>
    }

export interface AdminRoute {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'
  /** `:name` is one segment. */
  readonly path: string
  readonly scope: Scope
  readonly maxBodyBytes?: number
  /** The event by which those who follow `/api/v1/events` are told the answer; left out: they are not. */
  readonly event?: string
  /** How the log tells of it; left out: it changes nothing that anybody would look for. */
  readonly audit?: {
    readonly action: string
    /** What was changed, of a request that was answered and so is valid. */
    readonly details?: (request: AdminRequest) => Readonly<Record<string, unknown>>
  }
  /** `events`: the answer is the event stream. */
  readonly answer:
    | ((request: AdminRequest, context: AdminContext) => AdminReply | Promise<AdminReply>)
    | 'events'
}
