/**
 * Loads an answer from a backend, revalidating a stored one where there is one (RFC 9111, section 4.3). The leader gets the
 * answer with its first byte; the others wait until it is stored.
 */
import type { Backend } from '../../core/backend.ts'
import { type Call, header, type RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Answer, Outcome, Reply } from '../../core/reply.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { Clock } from '../../lib/clock.ts'
import { collected, type Incoming, letGo } from '../backend/incoming.ts'
import { SharedBody, type SharedBodyReader } from '../backend/shared-body.ts'
import type { Entry } from '../cache/entry.ts'
import { isStreamed } from '../cache/streamed.ts'
import type { StoreOptions } from '../cache/tiered.ts'
import { answeredBy } from '../key/answered-by.ts'
import type { TypicalCosts } from '../measure/typical-cost.ts'
import type { Matched, RouteCache } from '../route/routes.ts'
import { hasBody } from '../upstream/forward.ts'
import type { Dispatch, UpstreamResponse } from '../upstream/upstream-call.ts'
import { directivesOf, fetched, replyTo, stale } from './answers.ts'
import { answerTo, validatorsOf, withValidators } from './conditions.ts'
import { keptFields, updatedFields } from './fields.ts'
import { type Keeping, keepingOf, type ResponseHead } from './keep.ts'
import { requestDigest, type UrlNode } from './node.ts'
import type { FetchedResponse, HttpLookup, UrlState, VariantStore } from './variant-store.ts'

/** What a load brings to the calls that wait for it. */
export type HttpLoadResult =
  | { readonly kind: 'kept'; readonly entry: Entry; readonly node: UrlNode; readonly status: number }
  /** Complete, not to be stored, and the same for all waiting calls. */
  | { readonly kind: 'reply'; readonly reply: Reply }
  /** The answer was for one caller. */
  | { readonly kind: 'none' }
  | { readonly kind: 'failed'; readonly error: GatewayError }

/** The call that leads a load. */
export interface Leader {
  readonly signal: Signal
  /** Called once, unless the load fails. */
  first(answer: Answer): void
  /** Called once, when it is known what the other calls get. */
  landed(landed: HttpLoadResult): void
  /** The options, with a lease if any, under which the answer is stored. */
  readonly storing?: ((digest: Digest) => StoreOptions) | undefined
}

/** Resolves when the load has landed. */
export type HttpFetch = (lookup: HttpLookup, urlState: UrlState, leader: Leader) => Promise<void>

export interface HttpFetchParts {
  readonly store: VariantStore
  readonly dispatch: Dispatch
  /** The call's own header fields, as they go to a backend. */
  readonly outgoing: (call: Call) => RawPairs
  /** Whether an answer of this version may be stored under the present deployment. */
  readonly mayKeep: (matched: Matched, version: string | undefined) => boolean
  readonly typicalCosts: TypicalCosts
  readonly clock: Clock
  readonly random: () => number
}

export function createFetch(parts: HttpFetchParts): HttpFetch {
  return (lookup, urlState, leader) => new Loading(parts, lookup, urlState, leader).run()
}

class Loading {
  readonly #parts: HttpFetchParts
  readonly #lookup: HttpLookup
  readonly #urlState: UrlState
  readonly #leader: Leader
  readonly #cache: RouteCache
  readonly #began: number

  constructor(parts: HttpFetchParts, lookup: HttpLookup, urlState: UrlState, leader: Leader) {
    this.#parts = parts
    this.#lookup = lookup
    this.#urlState = urlState
    this.#leader = leader
    this.#cache = lookup.matched.route.cache as RouteCache
    this.#began = parts.clock.now()
  }

  async run(): Promise<void> {
    const { call, matched } = this.#lookup
    const { dispatch, outgoing } = this.#parts
    const { stored } = this.#urlState
    const validators = stored && isRead(call) ? validatorsOf(stored.entry.headers) : undefined
    const headers = outgoing(call)
    try {
      const delivered = await dispatch(call, matched, {
        body: hasBody(call) ? call.body : undefined,
        contentLength: undefined,
        headers: validators ? withValidators(headers, validators) : headers,
        key: requestDigest(this.#lookup),
        signal: this.#leader.signal,
        collectBytes: 0,
      })
      const { status } = delivered.reply
      if (stored && validators && status === 304) this.#renewed(delivered, stored.entry)
      else if (status < 500 || !this.#gaveStale(delivered.reply)) await this.#received(delivered)
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      const old = error.fault.blame === 'caller' ? undefined : this.#stale()
      if (old) this.#leader.first(old)
      this.#leader.landed({ kind: 'failed', error })
    }
  }

  /** A 304: the stored answer is still right. */
  #renewed({ reply, backend }: UpstreamResponse, entry: Entry): void {
    letGo(reply.body)
    const at = this.#now()
    const headers = updatedFields(entry.headers, reply.headers, at)
    const age = header(reply.headers, 'age')
    const head = { status: entry.status, headers: age === undefined ? headers : [...headers, 'Age', age] }
    const kept = this.#put({ ...entry, headers, costMs: entry.costMs ?? 0 }, head, backend)
    const { status } = reply
    const outcome = fetched(this.#lookup, { status, kept: kept?.entry, isRenewed: true, now: at })
    this.#leader.first({ reply: replyTo(this.#lookup, { ...entry, headers }, at), outcome })
    this.#leader.landed(kept ? { kind: 'kept', ...kept, status } : { kind: 'none' })
  }

  /** True: a stale answer was given in place of an error. */
  #gaveStale({ status, body }: Reply): boolean {
    const old = this.#stale(status)
    if (!old) return false
    letGo(body)
    this.#leader.first(old)
    this.#leader.landed({ kind: 'none' })
    return true
  }

  #stale(status?: number): Answer | undefined {
    const facts = { now: this.#now(), ...(status === undefined ? {} : { status }) }
    return stale(this.#lookup, this.#urlState.stored, facts)
  }

  async #received(delivered: UpstreamResponse): Promise<void> {
    const { reply } = delivered
    const { maxEntryBytes } = this.#cache
    const length = header(reply.headers, 'content-length')
    const body = reply.body as Incoming | Uint8Array
    const isHere = body instanceof Uint8Array || body.isComplete
    const isFit = isDelimited(reply) && !isStreamed(reply) && Number(length ?? 0) <= maxEntryBytes
    if (!isFit || !this.#keeping(reply, delivered.backend)) return this.#passed(reply)
    if (!isHere && length === undefined) return this.#shared(delivered)
    const { complete, bytes } = await collected(body, maxEntryBytes)
    if (!complete) return this.#passed(reply)
    const kept = this.#keep(delivered, bytes)
    const now = this.#now()
    // The leader gets all that the backend said.
    const { status, headers } = reply
    const own = answerTo(this.#lookup.call, { status, headers, body: bytes }, now)
    // The notes of the backend's head, such as its fields for a client, are not true of another head.
    const first = own.headers === headers ? { ...reply, body: bytes } : own
    this.#leader.first({ reply: first, outcome: this.#fetched(status, kept?.entry) })
    this.#leader.landed(kept ? { kind: 'kept', ...kept, status: reply.status } : { kind: 'none' })
  }

  /** An answer of unknown length is passed on while it is collected. */
  async #shared(delivered: UpstreamResponse): Promise<void> {
    const { reply } = delivered
    const shared = new SharedBody(reply.body as Incoming, this.#cache.maxEntryBytes)
    // Others wait for it to be stored, whether its first reader stays or not.
    const release = shared.hold()
    const body = shared.join() as SharedBodyReader
    this.#leader.first({ reply: { ...reply, body }, outcome: this.#fetched(reply.status, undefined) })
    const bytes = await shared.collected().finally(release)
    const kept = bytes && this.#keep(delivered, bytes)
    this.#leader.landed(kept ? { kind: 'kept', ...kept, status: reply.status } : { kind: 'none' })
  }

  /** Passes on an answer that must not be stored. */
  #passed(reply: Reply): void {
    this.#leader.first({ reply, outcome: this.#fetched(reply.status, undefined) })
    this.#leader.landed(isForAll(reply) ? { kind: 'reply', reply } : { kind: 'none' })
  }

  #keep({ reply, backend, ms }: UpstreamResponse, body: Uint8Array) {
    const headers = keptFields(reply.headers, this.#now())
    // Until the head: how fast a body arrives may depend on the caller who reads it.
    const costMs = this.#parts.typicalCosts.bounded(this.#cache, ms)
    return this.#put({ status: reply.status, headers, body, costMs }, reply, backend)
  }

  /** `head`: the head by which it is judged. */
  #put(made: Omit<FetchedResponse, 'version'>, head: ResponseHead, backend: Backend) {
    const keeping = this.#keeping(head, backend)
    const version = answeredBy(this.#lookup.matched.target, backend) ?? ''
    const { node } = this.#urlState
    return (
      keeping &&
      this.#parts.store.keep(
        this.#lookup,
        { ...made, version },
        { node, keeping, storing: this.#leader.storing },
      )
    )
  }

  #keeping(head: ResponseHead, backend: Backend): Keeping | undefined {
    const { matched, headers } = this.#lookup
    if (!this.#parts.mayKeep(matched, answeredBy(matched.target, backend))) return undefined
    const { ttl, jitter } = this.#cache
    const route = { ...this.#cache, ttl: ttl * (1 + jitter * (2 * this.#parts.random() - 1)) }
    const at = this.#now()
    const response = directivesOf(head.headers, this.#cache, at)
    const isAuthorized = header(headers, 'authorization') !== undefined
    const arrival = { at, delayMs: this.#parts.clock.now() - this.#began }
    return keepingOf(head, arrival, { response, route, isAuthorized, isRead: isRead(this.#lookup.call) })
  }

  #fetched(status: number, kept: Entry | undefined): Outcome {
    const isRenewed = this.#urlState.stored !== undefined
    return fetched(this.#lookup, { status, kept, isRenewed, now: this.#now() })
  }

  #now(): number {
    return this.#parts.clock.wall()
  }
}

/** Answers to POST have no validators: a condition means something else there. */
function isRead({ method }: Call): boolean {
  return method === 'GET'
}

/** Whether the end of the body is marked: one that ends with the connection may have been cut. */
function isDelimited({ status, headers }: ResponseHead): boolean {
  const isMarked = header(headers, 'content-length') ?? header(headers, 'transfer-encoding')
  return status === 204 || isMarked !== undefined
}

/** Statuses that concern no single call, so all waiting calls get them. A refusal may be due to a field that one call has. */
const OF_NO_CALL = new Set([429, 502, 503, 504])

function isForAll({ status, headers, body }: Reply): boolean {
  return body instanceof Uint8Array && OF_NO_CALL.has(status) && header(headers, 'set-cookie') === undefined
}
