/**
 * Dispatches a call to a backend: the upstream side of the life of a call. Read this file second.
 *
 *   permit at a backend (or wait for one) → send → head → (collect) → answer
 *                      ├─ late: a hedge to another backend, the first good answer counts
 *                      └─ failed or refused, and safe to repeat → another backend, within the budget
 *
 * A retry is safe when nothing was sent, when the call is a pure prediction of a known dialect, or when its method is
 * idempotent and nothing was answered; and only while no byte of an answer has gone to the client. In all other cases the
 * call fails with what the backend said.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Transport } from '../../core/backend.ts'
import { type Call, isWhole } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Reply } from '../../core/reply.ts'
import { type Charge, EVERYBODY, type TenantShare } from '../../core/tenant-share.ts'
import { Cancel, type Signal } from '../../lib/cancel.ts'
import { type Awaitable, Deferred, type Listener, subscribe } from '../../lib/deferred.ts'
import { isBackendFailure, isDone, type Verdict, verdictOf } from '../../protocol/verdict.ts'
import type { Permit, PermitRequest } from '../backend/permit.ts'
import type { BackendPool } from '../backend/pool.ts'
import { REPLAY_BYTES, Replay } from '../backend/replay.ts'
import { retryDelayMs } from '../balance/limits/retry-budget.ts'
import { ReservedDeadline, type SharedDeadline } from '../flight/shared-deadline.ts'
import { firstTokenWithin } from '../http/deadlines.ts'
import { withoutCors } from '../http/headers.ts'
import { transportOf } from '../http/transport.ts'
import type { Matched } from '../route/routes.ts'
import { Attempt, type AttemptParts, discard, LOSER } from './attempt.ts'
import { isPure, repeatable, retryAfterMs } from './retry.ts'
import type { AttemptResult, Dispatch, UpstreamRequest, UpstreamResponse } from './upstream-call.ts'

/** Where rows and generations share a pool, so many tokens count as a row. */
const TOKENS_OF_A_ROW = 256
/** The part of a call's time that is left for a fallback whose pool has not answered lately. */
const UNKNOWN_RESERVE = 0.1
/** Shared, so it is replaced and never written to: most calls have one attempt. */
const NOBODY: number[] = []

export interface DispatchParts extends AttemptParts {
  readonly pool: (name: string) => BackendPool
  readonly random: () => number
}

export function createDispatch(parts: DispatchParts): Dispatch {
  return (call, matched, request) => new DispatchedCall(parts, call, matched, request).start()
}

/** A call that is being sent upstream. Settles with an answer, whatever its status; fails with a GatewayError. */
class DispatchedCall extends Deferred<UpstreamResponse> implements PermitRequest, Listener<AttemptResult> {
  readonly model: string | undefined
  readonly version: string | undefined
  readonly labels: PermitRequest['labels']
  readonly transport: Transport
  readonly key: PermitRequest['key']
  readonly prefix: PermitRequest['prefix']
  readonly signal: Signal
  readonly #parts: DispatchParts
  readonly #call: Call
  readonly #matched: Matched
  readonly #request: UpstreamRequest
  readonly #until: SharedDeadline
  /** When the caller wants the first token. */
  readonly #firstTokenBy: number
  readonly #pool: BackendPool
  /** For a body that streams. */
  readonly #replay: Replay | undefined
  readonly #startedAt: number
  #tried = NOBODY
  #turn = 0
  /** Retries taken from the budget. */
  #retries = 0

  constructor(parts: DispatchParts, call: Call, matched: Matched, request: UpstreamRequest) {
    super()
    this.#parts = parts
    this.#call = call
    this.#matched = matched
    this.#request = request
    this.#pool = parts.pool(matched.route.pool)
    const { body } = request
    this.#replay = body === undefined || isWhole(body) ? undefined : new Replay(body, REPLAY_BYTES)
    this.#startedAt = parts.clock.now()
    this.model = matched.target.model
    this.version = matched.target.version
    this.transport = transportOf(request.headers)
    this.labels = call.identity?.policy?.backends
    this.key = request.key
    // Only a body that is short enough to be in one piece is read for it.
    if (this.#pool.readsPrefix && body instanceof Uint8Array)
      this.prefix = matched.protocol.prefix?.(call, body)
    this.#until = this.#withReserve(request.until ?? call)
    this.#firstTokenBy = this.#startedAt + (firstTokenWithin(call.headers) ?? Infinity)
    this.signal = request.signal
  }

  /** The deadline of the wait for a permit. One caller's first-token deadline does not end the wait of others. */
  get deadline(): number {
    const { deadline, isJoined } = this.#until
    return isJoined ? deadline : Math.min(deadline, this.#firstTokenBy)
  }

  /** By whose share it waits: of those who wait for the answer, one of the highest class. */
  get share(): TenantShare | undefined {
    return this.#request.until ? this.#until.share : this.#call.share
  }

  /** Who pays: the load's first caller, or each whose rows are in it. */
  get charges(): readonly Charge[] {
    const { charges, rows = 1 } = this.#request
    return charges ?? [{ share: this.#call.share ?? EVERYBODY, cost: this.#tokenCost ?? rows }]
  }

  /** Of an answer that is generated: what it may take, as so many rows. Undefined: it is no such answer, or there are no tenants. */
  get #tokenCost(): number | undefined {
    if (!this.#call.share) return undefined
    const estimate = this.#matched.protocol.tokens?.estimate(this.#call, this.#request.body)
    return estimate && estimate.output > 0 ? (estimate.input + estimate.output) / TOKENS_OF_A_ROW : undefined
  }

  set onPromoted(promoted: (() => void) | undefined) {
    if (this.#request.until) this.#request.until.onPromoted = promoted
  }

  /** Until when this pool has the call: what a fallback takes is left for it. */
  #withReserve(until: SharedDeadline): SharedDeadline {
    const [next] = this.#matched.route.fallback ?? []
    if (!next) return until
    const left = until.deadline - this.#startedAt
    const usual = this.#parts.pool(next.pool).serviceMs(0.9) ?? left * UNKNOWN_RESERVE
    return new ReservedDeadline(until, Math.min(usual, left / 2))
  }

  start(): this {
    if (this.#matched.route.fallback && !this.#hasTime()) {
      const why = `pool "${this.#pool.name}" takes longer than is left`
      this.fail(new GatewayError('deadline', why, { unsent: true }))
      return this
    }
    this.#pool.deposit(this.#startedAt)
    this.#enter(this.#startedAt)
    return this
  }

  #enter(now?: number): void {
    try {
      const permit = this.#pool.enter(this, this.#tried, now)
      if (permit instanceof Promise)
        permit.then(
          (given) => this.#permitted(given),
          (error) => this.fail(error),
        )
      else this.#permitted(permit)
    } catch (error) {
      this.fail(error)
    }
  }

  #permitted(permit: Permit): void {
    const { backend, since } = permit
    const { slot } = backend
    if (this.#tried.length === 0) this.#tried = [slot]
    else this.#tried.push(slot)
    const late = this.#mayHedge() ? this.#pool.hedgeDelay(this, since) : undefined
    subscribe(late === undefined ? this.#send(permit, this.signal) : this.#hedged(permit, late), this)
  }

  /**
   * Only a call with a whole body can be sent twice at the same time. One that went where its prompt is known has no second place: any
   * other backend computes the whole prompt, and drops prompts of others for it.
   */
  #mayHedge(): boolean {
    return isPure(this.#matched) && !this.#replay && this.prefix === undefined
  }

  #send(permit: Permit, signal: Signal): Awaitable<AttemptResult> {
    const request = this.#request
    const body = this.#replay ? this.#replay.read() : request.body
    const sent = signal === request.signal && body === request.body ? request : { ...request, body, signal }
    return new Attempt(this.#parts, this.#call, sent, {
      pool: this.#pool,
      transport: this.transport,
      permit,
      startedAt: this.#startedAt,
      until: this.#until,
      route: this.#matched.route,
      protocol: this.#matched.protocol,
    }).start()
  }

  /** An attempt has ended. */
  onValue(result: AttemptResult): void {
    const isAnswer = 'reply' in result
    if (isAnswer && this.#verdict(result).kind === 'ok') return this.#finish(result)
    const pause = retryAfterMs(result, this.#matched)
    // The answer may be that of the hedge's backend.
    if (pause !== undefined && isAnswer) this.#pool.pause(result.backend.slot, pause)
    const turn = this.#turn
    const again =
      turn < this.#pool.tuning.retry.max &&
      (this.#replay?.replayable ?? true) &&
      repeatable(result, this.#matched, { method: this.#call.method, turn })
    if (!again || !this.#hasTime()) return this.#finish(result)
    // A reply is an answer, if a bad one: it is dropped only where another backend can take the call at once.
    const hasOther = this.#pool.hasOther(this, this.#tried)
    if ((isAnswer && !hasOther) || !this.#pool.mayRetry()) return this.#finish(result)
    this.#retries++
    if (hasOther) return this.#retry(result)
    this.#tried = NOBODY
    void sleep(retryDelayMs(turn, this.#parts.random)).then(() =>
      this.#hasTime() ? this.#retry(result) : this.#finish(result),
    )
  }

  onError(error: unknown): void {
    this.fail(error)
  }

  override settle(value: UpstreamResponse): void {
    this.#over()
    const { cors, answerFields } = this.#matched.route
    super.settle(
      cors || answerFields ? { ...value, reply: withoutReplaced(value.reply, this.#matched) } : value,
    )
  }

  override fail(error: unknown): void {
    this.#over()
    super.fail(error)
  }

  #over(): void {
    if (this.#retries > 0) this.#pool.retried(this.#retries)
    this.#retries = 0
  }

  #retry(result: AttemptResult): void {
    discard(result)
    const reason = 'reply' in result ? this.#verdict(result).code : result.failure.code
    this.#parts.observer.retried(this.#pool.name, reason)
    this.#turn++
    this.#enter()
  }

  #finish(result: AttemptResult): void {
    if ('failure' in result) return this.fail(result.failure)
    const { at = this.#parts.clock.now() } = result
    if (!isBackendFailure(this.#verdict(result))) this.#pool.demand.served(at - this.#startedAt)
    this.settle(result)
  }

  /** Sends a hedge when the first attempt is later than most; the first good answer counts, the other attempt is cancelled. */
  async #hedged(permit: Permit, late: number): Promise<AttemptResult> {
    const pool = this.#pool
    const cuts = [Cancel.following(this.signal), Cancel.following(this.signal)] as const
    const first = promised(this.#send(permit, cuts[0]))
    const early = await Promise.race([first, sleep(late, undefined, { ref: false })])
    if (early) return early
    const other = pool.mayHedge() ? pool.enterExtra(this, this.#tried) : undefined
    if (!other) return first
    this.#tried.push(other.backend.slot)
    const second = promised(this.#send(other, cuts[1]))
    const [winner, at] = await firstGood([first, second], (answer) => this.#verdict(answer))
    pool.hedged(at === 1)
    this.#parts.observer.hedged(pool.name, at === 1 ? 'won' : 'lost')
    cuts[at === 1 ? 0 : 1].abort(LOSER)
    return winner
  }

  #verdict({ reply }: UpstreamResponse): Verdict {
    return verdictOf(this.#matched.protocol, reply)
  }

  /** Whether another attempt could still be in time: half of them take no longer than the median. */
  #hasTime(): boolean {
    const median = this.#pool.serviceMs(0.5) ?? 0
    return this.#parts.clock.now() + median < this.#until.deadline && !this.signal.aborted
  }
}

/** The answer without the fields that the gateway speaks for. */
function withoutReplaced(reply: Reply, { route: { cors, answerFields } }: Matched): Reply {
  const own = cors ? withoutCors(reply) : reply
  const headers = answerFields?.without(own.headers) ?? own.headers
  if (headers === own.headers) return own
  const { notes: _, ...rest } = own
  return { ...rest, headers }
}

/** The first result that is a good answer, with its index; where none is, the last one. Releases the loser. */
async function firstGood(
  tries: readonly [Promise<AttemptResult>, Promise<AttemptResult>],
  verdict: (answer: UpstreamResponse) => Verdict,
): Promise<[AttemptResult, number]> {
  const [result, at] = await Promise.race(tries.map(async (attempt, i) => [await attempt, i] as const))
  const isGood = 'reply' in result && isDone(verdict(result))
  const other = tries[1 - at] as Promise<AttemptResult>
  if (isGood) {
    void other.then(discard)
    return [result, at]
  }
  const last = await other
  if ('reply' in last) {
    discard(result)
    return [last, 1 - at]
  }
  return [result, at]
}

async function promised<T>(awaitable: Awaitable<T>): Promise<T> {
  return awaitable
}
