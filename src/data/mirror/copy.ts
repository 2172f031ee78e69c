/** A copy of a call on its way to the second pool: it is sent once, within a time of its own, and its answer is read to its end. */
import type { Call, WholeBody } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { addLatency, type MutableMirrorTotals } from '../../core/mirror.ts'
import { Cancel } from '../../lib/cancel.ts'
import type { Clock } from '../../lib/clock.ts'
import { cooperatively } from '../../lib/cooperative.ts'
import type { Awaitable } from '../../lib/deferred.ts'
import { compareReplies } from '../../protocol/compare.ts'
import { isDone, verdictOf } from '../../protocol/verdict.ts'
import { Incoming } from '../backend/incoming.ts'
import type { Matched, Route } from '../route/routes.ts'
import { NO_BACKEND, NO_PLACE } from '../upstream/send-once.ts'
import type { Dispatch, UpstreamRequest, UpstreamResponse } from '../upstream/upstream-call.ts'
import { type ComparableAnswer, isEncoded, MAX_COMPARED } from './comparable.ts'
import type { DifferenceLog } from './difference-log.ts'
import type { MirrorLimits } from './mirror-limits.ts'
import type { MirrorUsage } from './mirror-usage.ts'

export interface CopyParts {
  /** Sends a call once, where there is a place for it at once. */
  readonly sendOnce: Dispatch
  readonly limits: MirrorLimits
  readonly usage: MirrorUsage
  readonly differences: DifferenceLog
  readonly clock: Pick<Clock, 'now' | 'after'>
}

export interface CopiedRequest {
  readonly call: Call
  readonly matched: Matched
  /** The route in the second pool. */
  readonly to: Route
  readonly request: UpstreamRequest
  readonly body: WholeBody | undefined
  readonly compares: boolean
  readonly primary: Primary
}

/** What came of the call itself. */
interface Primary {
  /** How long the backend has had it. */
  readonly ms: number
  /** Undefined: it is not compared. */
  readonly answer: ComparableAnswer | undefined
}

/** How long an answer that streams is read. */
const STREAM_MS = 10 * 60_000
/** An answer is about as long as the other one, if it is not written more widely. */
const MARGIN_BYTES = 16 << 10

/** Never throws, and nobody waits for it. */
export function sendCopy(parts: CopyParts, of: CopiedRequest): void {
  const { limits, clock } = parts
  const { to, body, primary } = of
  const bytes = body?.length ?? 0
  const held = primary.answer?.size ?? 0
  const collectBytes = primary.answer ? Math.min(MAX_COMPARED, 2 * held + MARGIN_BYTES) : 0
  const more = held + collectBytes
  const refusal = limits.enter(to.pool, { body: bytes, more, now: clock.now() })
  if (refusal) return parts.usage.drop(to.name, to.pool, refusal)
  void new Copy(parts, of, collectBytes).run().finally(() => limits.leave(bytes + more))
}

class Copy {
  readonly #parts: CopyParts
  readonly #of: CopiedRequest
  readonly #collectBytes: number
  readonly #cancel = new Cancel()
  #cancelTimer: () => void = () => {}

  constructor(parts: CopyParts, of: CopiedRequest, collectBytes: number) {
    this.#parts = parts
    this.#of = of
    this.#collectBytes = collectBytes
  }

  /** Never rejects. */
  async run(): Promise<void> {
    const { limits } = this.#parts
    const { to } = this.#of
    try {
      const pending = this.#send()
      this.#counts.sent++
      const response = await pending
      this.#extend(response)
      await readToEnd(response)
      if (!isDone(verdictOf(this.#of.matched.protocol, response.reply))) return this.#failed()
      limits.succeeded(to.pool)
      this.#counts.answered++
      addLatency(this.#counts.mirror, response.ms)
      addLatency(this.#counts.primary, this.#of.primary.ms)
      if (this.#of.compares) await this.#compare(response).catch(() => this.#counts.uncompared++)
    } catch (error) {
      if (error === NO_PLACE) this.#drop('busy')
      else if (isUnsendable(error)) this.#drop('no-backend')
      else this.#failed()
    } finally {
      this.#cancelTimer()
    }
  }

  /** They may have been taken meanwhile, so they are asked for each time. */
  get #counts(): MutableMirrorTotals {
    const { to } = this.#of
    return this.#parts.usage.of(to.name, to.pool)
  }

  #drop(why: 'busy' | 'no-backend'): void {
    const { to } = this.#of
    this.#parts.usage.drop(to.name, to.pool, why)
  }

  /** Throws where it is not sent at all. */
  #send(): Awaitable<UpstreamResponse> {
    const { clock, sendOnce } = this.#parts
    const { call, matched, to, request, body } = this.#of
    const deadline = clock.now() + to.timeout
    this.#limit(to.timeout)
    const copy = copyOf(call, { deadline, signal: this.#cancel, body: body ?? call.body })
    return sendOnce(
      copy,
      { route: to, protocol: matched.protocol, target: matched.target },
      {
        ...(request.as && { as: request.as }),
        body,
        contentLength: undefined,
        headers: request.headers,
        key: request.key,
        signal: this.#cancel,
        collectBytes: this.#collectBytes,
      },
    )
  }

  #limit(ms: number): void {
    this.#cancelTimer()
    this.#cancelTimer = this.#parts.clock.after(ms, () => this.#cancel.abort(LATE))
  }

  /** A stream has as long as it needs, so long as it goes on. */
  #extend({ reply }: UpstreamResponse): void {
    if (reply.body instanceof Incoming) this.#limit(STREAM_MS)
  }

  #failed(): void {
    const { to } = this.#of
    this.#counts.failed++
    this.#parts.limits.failed(to.pool)
  }

  async #compare({ reply }: UpstreamResponse): Promise<void> {
    const { matched, to, primary } = this.#of
    const { body } = reply
    const isComparable = body instanceof Uint8Array && !isEncoded(reply)
    const one = isComparable ? await primary.answer?.whole() : undefined
    if (!one || !isComparable) {
      this.#counts.uncompared++
      return
    }
    const steps = compareReplies(matched.protocol, one, { ...reply, body })
    const difference = await cooperatively(steps, this.#cancel)
    if (!difference) {
      this.#counts.equal++
      return
    }
    this.#counts.different++
    this.#parts.differences.tell({ call: this.#of.call, matched, to }, difference)
  }
}

const LATE = new GatewayError('deadline', 'the second pool has not answered in time')

/** No backend, or none that can be asked in any form of the call. */
function isUnsendable(error: unknown): boolean {
  return error === NO_BACKEND || (error instanceof GatewayError && error.code === 'noTransport')
}

/** Id and address are no properties of the call's own, so they are named. */
function copyOf(call: Call, own: Pick<Call, 'deadline' | 'signal' | 'body'>): Call {
  const { id, method, path, query, headers, host, peer, principal, identity, target } = call
  return { id, method, path, query, headers, host, peer, principal, identity, target, ...own }
}

/** Reads what has not been collected, and keeps nothing of it. */
async function readToEnd({ reply }: UpstreamResponse): Promise<void> {
  if (!(reply.body instanceof Incoming)) return
  for await (const _ of reply.body);
}
