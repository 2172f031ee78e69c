/**
 * A generation that a backend is giving, event by event, to all who ask for the same: whoever joins gets what there is so far,
 * and then the rest as it comes. Who leaves harms nobody; when the last one has left, the backend's work is cancelled. A reader
 * who is slow holds up nobody else, and ends with an error once it is too far behind. If the backend fails, all end with that
 * error: what has begun is never continued from another generation.
 */
import type { Call, RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Generated } from '../../core/observer.ts'
import type { Reply } from '../../core/reply.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { Clock } from '../../lib/clock.ts'
import { EventSplitter } from '../../lib/sse-reader.ts'
import type { EventFollower, Generation, Plan } from '../../protocol/protocol.ts'
import type { Incoming } from '../backend/incoming.ts'
import { SharedBody, SharedBodyReader } from '../backend/shared-body.ts'
import type { Entry } from '../cache/entry.ts'
import { withoutByteFields } from '../http/headers.ts'

export interface RunningGenerationParts {
  readonly generation: Generation
  /** Of the call that the backend answers. */
  readonly plan: Plan
  /** The backend's reply, whose body arrives. */
  readonly reply: Reply
  /** The fields of the reply that belong to the answer, for those who join. */
  readonly keptHeaders: RawPairs
  /** The most bytes that are kept for those who join, and that a reader may be behind. */
  readonly maxBytes: number
  /** Keeps the whole answer; undefined: it may not be kept. */
  readonly keep: (events: Uint8Array) => Entry | undefined
  readonly clock: Pick<Clock, 'now'>
  /** When the backend was asked; monotonic milliseconds. */
  readonly askedAt: number
  /** Called when it is over, however it ended. */
  readonly measured: (generated: Generated) => void
}

/** An event is held until its end is there, so its length is bounded; none is nearly as long. */
const MAX_EVENT_BYTES = 16 << 20

/** Who reads. */
export interface GenerationReader {
  readonly plan: Plan
  readonly call: Pick<Call, 'signal'>
}

/** A generation as another worker gets it: whole, and with an error as such. */
export interface RelayedEvents {
  readonly status: number
  readonly headers: RawPairs
  readonly events: SharedBodyReader
}

export class RunningGeneration {
  /** Settles when the generation is over: with what was kept of it. */
  readonly over: Promise<Entry | undefined>
  readonly #parts: RunningGenerationParts
  readonly #follower: EventFollower
  readonly #body: SharedBody
  /** For those who asked for less than all: pieces of which they get other bytes. */
  readonly #shown = new WeakMap<Uint8Array, Uint8Array>()
  /** When the first and the last piece of it came. */
  #firstAt: number | undefined
  #lastAt = 0

  constructor(parts: RunningGenerationParts) {
    const { generation, plan, reply, maxBytes } = parts
    this.#parts = parts
    this.#follower = generation.follow(plan)
    const incoming = reply.body as Incoming
    const source = {
      cancel: (reason: Error) => incoming.cancel(reason),
      [Symbol.asyncIterator]: () => this.#events(incoming),
    }
    this.#body = new SharedBody(source, maxBytes)
    const release = this.#body.hold()
    // By then all who have waited for it read it, or have left.
    setImmediate(release)
    this.over = this.#kept()
  }

  /**
   * The answer for one more caller; undefined: it cannot be joined any more. `isLeader`: it is the one whom the backend answers,
   * and gets all that the backend said.
   */
  replyTo(reader: GenerationReader, isLeader: boolean): Reply | undefined {
    const { reply, keptHeaders } = this.#parts
    const joined = this.#body.join()
    if (!joined) return undefined
    const body = new SharedBodyReader(this.#read(joined, reader), joined.leave)
    if (isLeader) return { ...withoutByteFields(reply), body }
    const saved = () => this.#follower.tokens
    return { status: reply.status, headers: keptHeaders, body, saved }
  }

  /** Its head and its events, for the callers of another worker; undefined: it cannot be joined any more. */
  relayed(): RelayedEvents | undefined {
    const { reply, keptHeaders } = this.#parts
    const events = this.#body.join()
    return events && { status: reply.status, headers: keptHeaders, events }
  }

  /** What is kept when it is over, for a caller who wants the answer in one piece. Rejects where the caller leaves first. */
  async entry(signal: Signal): Promise<Entry | undefined> {
    const release = this.#body.hold()
    const { promise, reject } = Promise.withResolvers<never>()
    const leave = () => reject(signal.reason)
    if (signal.aborted) leave()
    else signal.addEventListener('abort', leave, { once: true })
    try {
      return await Promise.race([this.over, promise])
    } finally {
      signal.removeEventListener('abort', leave)
      release()
    }
  }

  /** Goes on to its end, be there readers or not. */
  finish(): void {
    void this.over.then(this.#body.hold())
  }

  /** Pieces that end with an event each, so that nobody gets a part of one before an error. */
  async *#events(incoming: Incoming): AsyncGenerator<Uint8Array> {
    const splitter = new EventSplitter(MAX_EVENT_BYTES)
    try {
      for await (const chunk of incoming) {
        const events = splitter.push(chunk)
        if (!events) continue
        this.#follow(events)
        yield events
      }
      const rest = splitter.rest()
      if (rest.length > 0) yield rest
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      throw new GatewayError('backendGarbled', `the backend sent ${error.message}`)
    } finally {
      this.#measure()
    }
  }

  #follow(events: Uint8Array): void {
    const follower = this.#follower
    const before = follower.generated
    const shown = follower.push(events)
    if (shown !== events) this.#shown.set(events, shown)
    if (follower.generated === before) return
    this.#lastAt = this.#parts.clock.now()
    this.#firstAt ??= this.#lastAt
  }

  #measure(): void {
    const { askedAt, measured } = this.#parts
    const { tokens, generated } = this.#follower
    const first = this.#firstAt
    measured({
      tokens,
      firstTokenMs: first === undefined ? undefined : first - askedAt,
      perTokenMs: first === undefined || generated < 2 ? undefined : (this.#lastAt - first) / (generated - 1),
    })
  }

  /** As one caller gets it: an error is an event, since the answer has begun. */
  async *#read(
    joined: SharedBodyReader,
    { plan, call: { signal } }: GenerationReader,
  ): AsyncGenerator<Uint8Array> {
    const wantsAll = plan.generation?.wantsAll === true
    // Who leaves between two events is noticed at once, and not with the next one.
    if (signal.aborted) joined.leave()
    else signal.addEventListener('abort', joined.leave)
    try {
      for await (const events of joined) {
        const shown = wantsAll ? events : (this.#shown.get(events) ?? events)
        if (shown.length > 0) yield shown
      }
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      yield this.#parts.generation.failure(error, plan)
    } finally {
      signal.removeEventListener('abort', joined.leave)
    }
  }

  async #kept(): Promise<Entry | undefined> {
    try {
      const events = await this.#body.collected()
      return events && this.#follower.isWhole ? this.#parts.keep(events) : undefined
    } catch {
      // Its readers are told; nobody else asked for it.
      return undefined
    }
  }
}
