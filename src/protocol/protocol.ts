/**
 * A wire dialect. Bytes in, bytes out; it knows neither sockets nor caches. The idea that carries the data
 * plane: a call is a list of rows. A dialect (or a model) that cannot be split yields one row: the whole call.
 */
import type { Call, Target } from '../core/call.ts'
import type { GatewayError } from '../core/errors.ts'
import type { Digest } from '../core/key.ts'
import type { Reply } from '../core/reply.ts'

/** Why a call may not be cached, in a word for Cache-Status `detail`. */
export interface Bypass {
  readonly bypass: string
}

/** One cacheable unit of a call. */
export interface Row {
  /** Key of the row: SHA-256 over seed, domain tag, the call's common part and the row's canonical value. */
  readonly digest: Digest
  /** The caller's own lexemes, as they go upstream. */
  readonly wire: Uint8Array
}

/** What a dialect found in a body. */
export type Reading = Bypass | Plan

export interface Plan {
  /** Key of the whole call, canonical. */
  readonly whole: Digest
  /** Present where the call was read for splitting and can be: at least one row, in the caller's order. */
  readonly rows?: readonly Row[]
  /** The dialect's own notes for `join` and `assemble`; opaque to everybody else. */
  readonly common?: unknown
}

export interface ReadOptions {
  /** Digest of all that a key covers besides the body (DESIGN section 3), mixed into every key. */
  readonly seed: Digest
  /** Read rows as well; false where the route or the model does not split. */
  readonly split: boolean
}

export interface Protocol {
  readonly name: string
  /** From the path alone: a hit must not pay for a parse. Undefined: not this dialect's path. */
  match(method: string, path: string): Target | undefined
  /** The body's keys, or why the call is not to be cached. Synchronous and linear in the body. */
  read(call: Call, body: Uint8Array, options: ReadOptions): Reading
  /** Puts this caller's id and encoding on a shared answer. */
  address(reply: Reply, call: Call): Reply
  /** The error body this dialect's clients expect. */
  fault(error: GatewayError): Reply
  /** Optional power: put rows together and cut answers. */
  readonly rows?: Rows
}

/** One row's share of an answer. */
export interface RowAnswer {
  /** What all rows of one answer have in common: names, dtypes, trailing shape, version. */
  readonly frame: Uint8Array
  /** The row's own bytes, in the dialect's form. */
  readonly slice: Uint8Array
}

export interface Rows {
  /** A request body that asks for just these rows, in this order. */
  join(plan: Plan, rows: readonly Row[], body: Uint8Array): Uint8Array
  /** The answer cut into `count` rows; undefined: it does not fit the rows. */
  cut(reply: Reply, body: Uint8Array, count: number): readonly RowAnswer[] | undefined
  /** One reply from the rows in order; undefined: their frames do not match. */
  assemble(plan: Plan, answers: readonly RowAnswer[]): Reply | undefined
}
