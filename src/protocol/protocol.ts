/**
 * A wire dialect. Bytes in, bytes out; it knows neither sockets nor caches. The idea that carries the data
 * plane: a call is a list of rows. A dialect (or a model) that cannot be split yields one row: the whole call.
 */
import type { Call, RawPairs, Target, WholeBody } from '../core/call.ts'
import type { Chunks } from '../core/chunks.ts'
import type { GatewayError } from '../core/errors.ts'
import type { Digest } from '../core/key.ts'
import type { Reply } from '../core/reply.ts'
import type { Verdict } from './verdict.ts'

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

/** The model that a body names, and the version where it names one, as in `Target`. */
export type NamedModel = Required<Pick<Target, 'model'>> & Pick<Target, 'version'>

/** What a dialect found in a body. */
export type Reading = Bypass | Plan

export interface Plan {
  /** Key of the whole call, canonical. */
  readonly whole: Digest
  /** Present where the call was read for splitting and can be: at least one row, in the caller's order. */
  readonly rows?: readonly Row[]
  /** Present with `rows`: rows of calls that agree on it may share one upstream request. */
  readonly batch?: Digest
  /**
   * The forms in which it is written and its answer wanted: a set of bits of the dialect's own, each of which a server
   * may or may not take. Left out: there is one form, 0. At most eight bits.
   */
  readonly form?: number
  /** The dialect's own notes for `address`, `join` and `assemble`; opaque to everybody else. */
  readonly common?: unknown
}

export interface ReadOptions {
  /** Digest of all that a key covers besides the body, mixed into every key. */
  readonly seed: Digest
  /** Read rows as well; false where the route or the model does not split. */
  readonly split: boolean
  /** Rows are only to be compared: a call of a single one need not be read into it. */
  readonly onlyBatches?: boolean
}

/** As much of a call as says in which form its answer is wanted. */
export type AnswerPreferences = Pick<Call, 'headers' | 'query' | 'body'>

/** Where an answer comes from. */
export interface AnswerOrigin {
  /** `Plan.form` of the call that it is the server's own answer to: who asks in the same gets it as it came. */
  readonly form?: number | undefined
  /** The server has not shown to give what this caller wants: what it did not heed is not mended. */
  readonly asItCame?: boolean
}

export interface Protocol {
  readonly name: string
  /** Media types, lower case, that `read` takes for forms of one request; any other is part of the key as it stands. */
  readonly encodings?: readonly string[]
  /** `read` has Inference-Header-Content-Length in the key in a form of its own. */
  readonly readsHeaderLength?: boolean
  /** `read` has Content-Type in the key in a form of its own: all of it but what says nothing, such as a boundary. */
  readonly readsContentType?: boolean
  /**
   * Servers of this dialect show every header field to their models. Which of them an answer depends on only the operator
   * knows: it is kept where the route's `vary` is written, be it as an empty list, and nowhere else.
   */
  readonly needsVary?: boolean
  /** From the path alone (`plainPath`): a hit must not pay for a parse. Undefined: not this dialect's path. */
  match(method: string, path: string): Target | undefined
  /**
   * The model that the body names, for targets with `isNamedInBody`; undefined: none that can be told. A scan to the one member
   * or field and no parse, since the call's route hangs on it. By the bytes alone: nothing else is in the digest under which
   * a byte-identical repeat is found.
   */
  model?(body: Uint8Array): NamedModel | undefined
  /** The same of a body too long to be joined, in steps as `readChunks`. */
  modelChunks?(body: Chunks): Generator<void, NamedModel | undefined>
  /** The body's keys, or why the call is not to be cached. Synchronous and linear in the body. */
  read(call: Call, body: Uint8Array, options: ReadOptions): Reading
  /**
   * The same for a body too long to be joined: whole key only, and a `yield` whenever other work should have
   * its turn, at the latest every few milliseconds. The verdict depends on the bytes, not on how they were cut.
   */
  readChunks(call: Call, body: Chunks, options: ReadOptions): Generator<void, Reading>
  /**
   * Puts this caller's id and encoding on a shared answer. Without the plan the call's body is read once more.
   * Undefined: the answer has no form in the encoding this caller asked for; the call must be forwarded.
   */
  address(reply: Reply, call: AnswerPreferences, plan?: Plan, origin?: AnswerOrigin): Reply | undefined
  /** What a good answer to a call of this form shows its server to take and to give, as bits; absent: all of the form. */
  shows?(reply: Reply, body: Uint8Array, plan: Pick<Plan, 'form'>): number
  /**
   * Whether a 200 is the whole, well-formed answer to what was asked, which is all that may be kept; servers say under
   * 200, too, that they are out of memory. `counted`: it must have as many rows as the request. Absent: the dialect
   * cannot know.
   */
  storable?(reply: Reply, body: Uint8Array, plan: Plan, counted: boolean): boolean
  /**
   * Names of fields, in the head or behind the body, that are part of this dialect's answers, lower case: they are kept and
   * given with them, beside those that every answer keeps (content type and language, CORS). Absent: none.
   */
  readonly answerFields?: readonly string[]
  /** Whether an answer is sent as it happens, and is to be passed on so; absent: its media type says it. */
  isStream?(reply: Reply): boolean
  /** What an answer says of the call and the backend, by head and trailers; absent: what its HTTP status says. */
  verdict?(reply: Reply): Verdict
  /**
   * Fields that servers of this dialect put on every answer whatever it is, name and value as they are sent, such as
   * TorchServe's `Cache-Control`: they say nothing of this answer, and are as if they had not been sent.
   */
  readonly habits?: RawPairs
  /** The version that a good answer says it is of; absent, or undefined: it does not say. */
  version?(reply: Reply, body: Uint8Array): string | undefined
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

/** A request made of rows: `headers` replace the call's fields of the same names. */
export interface Joined {
  readonly headers: RawPairs
  readonly body: Uint8Array
}

export interface Rows {
  /** A request that asks for just these rows, in this order; rows of other calls must agree on `plan.batch`. */
  join(plan: Plan, rows: readonly Row[], body: WholeBody): Joined
  /** The answer (to `plan`) cut into `count` rows; undefined: it is none, not all of it, or does not fit the rows. */
  cut(reply: Reply, body: Uint8Array, count: number, plan?: Plan): readonly RowAnswer[] | undefined
  /** Whether two answers to one row are the same, floats within the tolerance of their dtype. */
  agree(a: RowAnswer, b: RowAnswer): boolean
  /** One reply from the rows in order; undefined: their frames do not match. `isOwn`: all came of calls in this form. */
  assemble(plan: Plan, answers: readonly RowAnswer[], isOwn?: boolean): Reply | undefined
}
