/**
 * One request as the data plane sees it. It is immutable; bytes and header fields are passed on as the caller sent
 * them.
 */

import type { Signal } from '../lib/cancel.ts'
import type { CallRecord } from './call-record.ts'
import { Chunks } from './chunks.ts'
import type { Identity } from './identity.ts'
import type { TenantShare } from './tenant-share.ts'

/** Header fields as on the wire: name, value, name, value … Order, case and repeats are kept. */
export type RawPairs = readonly string[]

/** A body that has arrived completely: one array where it is short, pieces where it is long. */
export type WholeBody = Uint8Array | Chunks

/** A whole body, or one that arrives while it is forwarded. */
export type Body = WholeBody | AsyncIterable<Uint8Array>

export function isWhole(body: Body): body is WholeBody {
  return body instanceof Uint8Array || body instanceof Chunks
}

/** What a dialect reads from method and path alone, before a byte of the body. */
export interface Target {
  /** `predict`, `classify`, `regress`, `explain`, `infer`, `generate`, `status`, `metadata` … the dialect's own word. */
  readonly verb: string
  /** As people and backends write it, no longer percent-encoded. Undefined where only the body names it, or there is none. */
  readonly model?: string
  /** The body names the model: until it has been read (`Protocol.model`) the route is not settled. */
  readonly isNamedInBody?: boolean
  /** The body has nothing to say, so that nobody need wait for it. */
  readonly isBodyEmpty?: boolean
  /** A version number or a label, no longer percent-encoded, `labels/` included for a label. */
  readonly version?: string
  /** The verb is a pure prediction: it may be cached and is safe to send twice. */
  readonly prediction: boolean
  /** It is not safe to send twice, but it may be cached where its body says that it has no effect. */
  readonly isKeepable?: boolean
  /** The call loads or unloads this model; the empty string: one that the path does not name. */
  readonly deploys?: string
  /** The answer is put together from what all routes know that the call matches, whatever their `match.model`. */
  readonly gathers?: boolean
  /** The call changes the server itself: loads or unloads, its memory, its trace settings. */
  readonly manages?: boolean
}

export interface Call {
  readonly id: string
  /** Where its stages are noted; left out: nobody wants to know. */
  readonly record?: CallRecord | undefined
  readonly method: string
  /** The path as the caller wrote it, still percent-encoded, without the query. */
  readonly path: string
  /** The same where its route rewrites it: `path` is then what the backend gets. */
  readonly askedPath?: string | undefined
  /** The query with its `?`, or the empty string. */
  readonly query: string
  /**
   * The caller's end-to-end fields. Hop-by-hop fields are removed before anything is decided, so no decision depends on
   * a field that the backend does not get.
   */
  readonly headers: RawPairs
  /**
   * The host that the caller addressed: from the request target where that names one, otherwise from the Host field;
   * lower case.
   */
  readonly host: string
  /** Address of the client's end of the connection. */
  readonly peer: string
  /** The caller in keys: its identity, or a digest of its credentials; the empty string is the anonymous caller. */
  readonly principal: string
  /** Who the caller is; undefined: the route asks nobody. */
  readonly identity?: Identity | undefined
  /** What the caller's tenant may have of a pool; undefined: there are no tenants. */
  readonly share?: TenantShare | undefined
  readonly target: Target | undefined
  /** The caller asks to change to WebSocket, and the dialect passes that on: the body is what it sends once that was answered by 101. */
  readonly isUpgrade?: boolean
  readonly body: Body
  /** Monotonic milliseconds (Clock.now) after which nobody waits for the answer. */
  readonly deadline: number
  /** Aborted when the caller has left or the deadline has passed; the reason is a GatewayError. */
  readonly signal: Signal
}

/** The first value of a header field, or undefined. `name` in lower case. */
export function header(headers: RawPairs, name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    const field = headers[i] as string
    if (field.length === name.length && field.toLowerCase() === name) return headers[i + 1]
  }
  return undefined
}

/** Every value of a header field, in order. `name` in lower case. */
export function headerAll(headers: RawPairs, name: string): string[] {
  const values: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const field = headers[i] as string
    if (field.length === name.length && field.toLowerCase() === name) values.push(headers[i + 1] as string)
  }
  return values
}

/** QUERY (RFC 10008) is an alias of POST on prediction verbs, which the model servers know as POST alone. */
export function upstreamMethod({ method, target }: Pick<Call, 'method' | 'target'>): string {
  return method === 'QUERY' && target?.prediction === true ? 'POST' : method
}
