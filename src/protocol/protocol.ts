/**
 * The interface of a wire dialect. It works on bytes, and knows neither sockets nor caches. The central idea of the data
 * plane: a call is a list of rows. A dialect (or a model) that cannot be split yields one row, the whole call.
 */
import type { Body, Call, RawPairs, Target, WholeBody } from '../core/call.ts'
import type { Chunks } from '../core/chunks.ts'
import type { GatewayError } from '../core/errors.ts'
import type { Digest } from '../core/key.ts'
import type { PromptPrefix } from '../core/prompt-prefix.ts'
import type { Reply, TokenCounts } from '../core/reply.ts'
import type { ComparedReply, Difference } from './difference.ts'
import type { Verdict } from './verdict.ts'

/** Why a call may not be cached, in a word for Cache-Status `detail`. */
export interface Bypass {
  readonly bypass: string
}

/** One cacheable unit of a call. */
export interface Row {
  /** Key of the row: SHA-256 over seed, domain tag, the call's common part and the row's canonical value. */
  readonly digest: Digest
  /** The row as its caller wrote it, which is what goes upstream. */
  readonly wire: Uint8Array
}

/** The model that a body names, and the version where it names one, as in `Target`. */
export type NamedModel = Required<Pick<Target, 'model'>> & Pick<Target, 'version'>

/** What a dialect read from a body. */
export type Reading = Bypass | Plan

export interface Plan {
  /** Key of the whole call, canonical. */
  readonly whole: Digest
  /** Present if the call was read for splitting and can be split: at least one row, in the caller's order. */
  readonly rows?: readonly Row[]
  /** The call itself asks for less than all its rows, so that a request for them is made, and the call is not sent as it came. */
  readonly asksForLess?: boolean | undefined
  /** Present with `rows`: rows of calls with the same digest may share one upstream request. */
  readonly batch?: Digest
  /**
   * The form of the request, and of the wanted answer where the caller chooses it: a set of at most eight bits defined by the dialect, each of which a server
   * may or may not support. Left out: there is one form, 0.
   */
  readonly form?: number
  /**
   * Digest of all that the bytes of an answer from given entries depend on: calls with the same one are answered with the same bytes, but
   * for an id of their own. Left out: such calls are not told apart from others.
   */
  readonly answer?: Digest | undefined
  /** Present if the call asks a model to generate, so that its answer may come as events while it is made (`Generation`). */
  readonly generation?: GenerationPlan
  /** The dialect's own notes for `address`, `join` and `assemble`; opaque to everybody else. */
  readonly common?: unknown
}

/** What the data plane needs to know of a call for a generation. */
export interface GenerationPlan {
  /** The caller wants events, and not the answer in one piece. */
  readonly isStreamed: boolean
  /** The caller gets the events as the server sends them; false: as `EventFollower.push` returns them. */
  readonly wantsAll: boolean
}

export interface ReadOptions {
  /** Digest of all that a key covers besides the body; part of every key. */
  readonly seed: Digest
  /** Read rows as well; false if the route or the model does not split. */
  readonly split: boolean
  /** Rows are only compared, so a call of a single row need not be read into rows. */
  readonly onlyBatches?: boolean
  /** The route keeps answers, too, that were drawn at random and that the same request would not give again. */
  readonly keepsSampled?: boolean
}

/** The parts of a call that say in which form its answer is wanted. */
export type AnswerPreferences = Pick<Call, 'headers' | 'query' | 'body' | 'target'>

/** Where an answer comes from. */
export interface AnswerOrigin {
  /** `Plan.form` of the call that the server answered: callers in the same form get the answer unchanged. */
  readonly form?: number | undefined
  /** The server has not shown that it supports this caller's form: what it ignored of the form is not corrected. */
  readonly asItCame?: boolean
  /** The server gave it in answer to this very call: what it says of itself, such as its id, is the caller's own already. */
  readonly isOwn?: boolean
  /** All bits of forms that the server has shown, some of which may say how it answers callers. */
  readonly shown?: number
}

/** A call as it goes to a server of the dialect's other form, which is reached over another transport. */
export interface Translation {
  readonly method: string
  readonly path: string
  readonly body: Uint8Array
  /** The fields that go to the server, of those that would go with the call itself. */
  headers(outgoing: RawPairs): RawPairs
  /** The server's answer, which must be whole, in the form of the call. */
  answer(reply: Reply): Reply
}

export interface Protocol {
  readonly name: string
  /** Media types, lower case, that `read` treats as forms of one request; any other is part of the key as it stands. */
  readonly encodings?: readonly string[]
  /** `read` itself covers Inference-Header-Content-Length in the key. */
  readonly readsHeaderLength?: boolean
  /** `read` itself covers Content-Type in the key: all of it but what means nothing, such as a boundary. */
  readonly readsContentType?: boolean
  /**
   * Servers of this dialect show every header field to their models, and only the operator knows on which of them an answer
   * depends. Such an answer is kept only where the route's `vary` is written, be it as an empty list.
   */
  readonly needsVary?: boolean
  /** A request to change to WebSocket is passed on; absent: the Upgrade is ignored, and the request is a GET. */
  readonly passesUpgrades?: boolean
  /** Reads the target from the path alone (`plainPath`), since a hit must not pay for a parse. Undefined: not a path of this dialect. */
  match(method: string, path: string): Target | undefined
  /**
   * The model that the body names, for targets with `isNamedInBody`; undefined: none can be found. It must scan for the one member
   * or field, and not parse, since each call's route depends on it. It may depend on nothing but the bytes, since the digest that
   * finds a byte-identical repeat covers nothing else.
   */
  model?(body: Uint8Array): NamedModel | undefined
  /** The same for a body too long to be joined, in steps as `readChunks`. */
  modelChunks?(body: Chunks): Generator<void, NamedModel | undefined>
  /** Reads the body's keys, or why the call must not be cached. Synchronous, and linear in the body's length. */
  read(call: Call, body: Uint8Array, options: ReadOptions): Reading
  /**
   * The same for a body too long to be joined: the key of the whole only, with a `yield` at least every few milliseconds so that
   * other work gets its turn. The result depends on the bytes, not on how they were cut.
   */
  readChunks(call: Call, body: Chunks, options: ReadOptions): Generator<void, Reading>
  /**
   * Puts this caller's id and encoding on a shared answer. Without the plan the call's body is read again.
   * Undefined: the answer cannot be written in the encoding that this caller wants; the call must be forwarded.
   */
  address(reply: Reply, call: AnswerPreferences, plan?: Plan, origin?: AnswerOrigin): Reply | undefined
  /** The bits of the form that a good answer proves its server supports; absent: all of them. */
  shows?(reply: Reply, body: Uint8Array, plan: Pick<Plan, 'form'>): number
  /**
   * Whether a 200 is the whole, well-formed answer to the call, and so may be stored; some servers report under 200 that they
   * are out of memory. `counted`: it must have as many rows as the request. Absent: the dialect cannot know.
   */
  storable?(reply: Reply, body: Uint8Array, plan: Plan, counted: boolean): boolean
  /**
   * Names of header fields and trailers that are part of this dialect's answers, lower case: they are stored with an answer,
   * beside those of every dialect (content type and language, CORS). Absent: none.
   */
  readonly answerFields?: readonly string[]
  /** Whether an answer is a stream, which must be passed on piece by piece; absent, or undefined: its media type decides. */
  isStream?(reply: Reply): boolean | undefined
  /** What an answer says about the call and the backend, by head and trailers; absent: the HTTP status decides. */
  verdict?(reply: Reply): Verdict
  /**
   * Fields that servers of this dialect put on every answer, with name and value as sent, such as TorchServe's `Cache-Control`.
   * They say nothing about the answer, so they are ignored.
   */
  readonly habits?: RawPairs
  /** The same for answers that stream: frameworks forbid to keep any stream, so that nothing on the way holds events back. */
  readonly streamHabits?: RawPairs
  /**
   * How the answers of two servers to one call differ, neither of which is a refusal; undefined: they agree, numbers within the
   * tolerance of their type. Pauses every few rows. Absent: JSON is compared as such, everything else byte for byte.
   */
  compare?(a: ComparedReply, b: ComparedReply): Generator<void, Difference | undefined>
  /** The model version that a good answer states; absent, or undefined: it states none. */
  version?(reply: Reply, body: Uint8Array): string | undefined
  /**
   * The call, with this body, for servers that are reached over the other transport alone (HTTP for gRPC, gRPC for HTTP).
   * `supports`: whether the server has shown a form of that other transport. Absent: the dialect has one form. Throws GatewayError
   * where the call has no such form, with the reason: `badRequest` if the call is at fault, otherwise `noTransport`.
   */
  translate?(call: Call, body: WholeBody, supports: (form: number) => boolean): Translation
  /** What targets that gather are answered with; absent: there are none. */
  readonly listing?: Listing
  /**
   * The beginning of the prompt that a call has, with the model and adapter that its cache belongs to; undefined: it has none. Asked only
   * where the pool's policy goes by it (`prefix`). Absent: the dialect has no prompts.
   */
  prefix?(call: Call, body: Uint8Array): PromptPrefix | undefined
  /** The error body this dialect's clients expect. */
  fault(error: GatewayError, traceId?: string): Reply
  /** Optional: how to join rows into requests, and cut answers into rows. */
  readonly rows?: Rows
  /** Optional: how to follow the events of an answer that is still being generated. Needed for plans with `generation`. */
  readonly generation?: Generation
  /** Optional: what calls take by the token, for the limits of tenants. */
  readonly tokens?: TokenMeter
}

export interface TokenMeter {
  /** What a call with this body may take at most, as far as that can be told before; undefined: such calls take none. */
  estimate(call: Pick<Call, 'method' | 'path' | 'target'>, body: Body | undefined): TokenCounts | undefined
  /** The same of rows that are to be sent. */
  estimateRows(rows: readonly Row[]): TokenCounts
  /**
   * The body with which a server is asked to say what a stream has taken, and what the caller gets of its events then; undefined:
   * it says so by itself, or cannot be asked.
   */
  asking(call: Pick<Call, 'target'>, body: Uint8Array): AskingTokens | undefined
  /** Reads an answer, from its head on. `estimate`: of its call. */
  follow(reply: Pick<Reply, 'status' | 'headers'>, estimate: TokenCounts): TokenFollower
  /** What the rows of an answer say that they took; undefined: they do not say. */
  ofRows(answers: readonly RowAnswer[]): TokenCounts | undefined
}

export interface AskingTokens {
  readonly body: Uint8Array
  /** Of one event or more, all complete. */
  readonly shown: (events: Uint8Array) => Uint8Array
}

export interface TokenFollower {
  push(bytes: Uint8Array): void
  /** What the answer has taken by now: what it says, or else an estimate by what has come of it. */
  readonly tokens: TokenCounts
}

export interface Generation {
  /** The body with which a server is asked for events that may be kept: they must say all that any caller may want to know. */
  request(plan: Plan, body: Uint8Array): Uint8Array
  /** Follows the events that answer a call with this plan. */
  follow(plan: Plan): EventFollower
  /** The event with which a stream ends that cannot go on. */
  failure(error: GatewayError, plan: Plan): Uint8Array
  /** The tokens that a whole answer says it took; undefined: it does not say. */
  tokens(reply: Reply): TokenCounts | undefined
}

export interface EventFollower {
  /** Takes one event or more, all complete; returns them as callers get them who asked for the least. */
  push(events: Uint8Array): Uint8Array
  /** The events so far are a whole answer, which the same request would be given again. */
  readonly isWhole: boolean
  /** Pieces of the answer so far. */
  readonly generated: number
  /** What the server has said of the tokens; undefined: nothing so far. */
  readonly tokens: TokenCounts | undefined
}

/** A model in a server's list of models, as the server tells of it. */
export interface ListedModel {
  readonly id: string
  readonly text: Uint8Array
}

/** Lists of models, of which one is made. */
export interface Listing {
  /** The path that servers have their lists at. */
  readonly path: string
  /** Undefined: it is no list. */
  read(body: Uint8Array): readonly ListedModel[] | undefined
  list(models: readonly ListedModel[]): Reply
  one(model: ListedModel): Reply
}

/** One row's share of an answer. */
export interface RowAnswer {
  /** The part of an answer that all its rows have in common: names, dtypes, trailing shape, version. */
  readonly frame: Uint8Array
  /** The row's own bytes, in the dialect's form. */
  readonly slice: Uint8Array
}

/** A request made of rows: `headers` replace the call's fields of the same names. */
export interface Joined {
  readonly headers: RawPairs
  readonly body: Uint8Array
}

/** What an answer that is cut answers: a plan, and of its rows, or those of other calls, the ones that were sent. */
export interface AskedRows extends Pick<Plan, 'common'> {
  /** In the order in which they were sent. */
  readonly rows?: readonly Row[]
}

export interface Rows {
  /**
   * The most rows that a request is made of, where no backend declares how many it takes. Left out: as many as the call has, whatever
   * the backends declare.
   */
  readonly most?: number
  /** A request for just these rows, in this order; rows of other calls must have the same `plan.batch`. */
  join(plan: Plan, rows: readonly Row[], body: WholeBody): Joined
  /** Cuts the answer into `count` rows; undefined: it is no answer, is incomplete, or does not fit the rows. */
  cut(reply: Reply, body: Uint8Array, count: number, asked?: AskedRows): readonly RowAnswer[] | undefined
  /** Whether two answers to one row agree, floats within the tolerance of their dtype. */
  agree(a: RowAnswer, b: RowAnswer): boolean
  /** Assembles one reply from the rows in order; undefined: their frames do not match. `isSameForm`: all answer calls in this form. */
  assemble(plan: Plan, answers: readonly RowAnswer[], isSameForm?: boolean): Reply | undefined
}
