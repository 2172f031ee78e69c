/**
 * The fast path of a hit in a shared tier. If the key of a request is known by its raw bytes (an alias), the tiers are asked
 * before a call is made of the request: no promise, no timer, no parsing. On a miss the request goes through the pipeline,
 * which is told that the tiers were asked, and does not ask them again.
 */
import { type Call, header, type RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { namedTenant } from '../../core/identity.ts'
import type { Digest } from '../../core/key.ts'
import type { Answered, Observer } from '../../core/observer.ts'
import { TRACEPARENT } from '../../core/trace-context.ts'
import type { Clock } from '../../lib/clock.ts'
import { lastOf } from '../../lib/memo.ts'
import { holdsAt } from '../auth/proof.ts'
import { ageMs, remainingMs, replyOf } from '../cache/entry.ts'
import { judge } from '../cache/freshness.ts'
import type { CacheHit, Tiered } from '../cache/tiered.ts'
import { type Admission, callerOf } from '../decision/admission.ts'
import { type CacheDecision, type CacheDecisions, stillHolds } from '../decision/cache-decision.ts'
import { statusTold } from '../exchange/error-answer.ts'
import type { HeadNotes, HttpExchange } from '../exchange/exchange.ts'
import { HitHead } from '../exchange/hit-head.ts'
import { headEnd } from '../exchange/reply-head.ts'
import { isWholeReply, sendWhole, type WholeReply } from '../exchange/whole-answer.ts'
import { clientFields } from '../http/headers.ts'
import { cacheFields } from '../http/status.ts'
import type { Forms } from '../key/forms.ts'
import { rawDigest } from '../key/raw.ts'
import type { VersionRules } from '../key/statements.ts'
import { addedFields } from '../route/added-fields.ts'
import type { CorsFields } from '../route/cors.ts'
import type { Live, Matched } from '../route/routes.ts'
import type { TierMiss } from '../rows/lookup-context.ts'
import type { Alias, Aliases } from './aliases.ts'
import { calledOf } from './fast-answer.ts'
import type { ReadyAnswers } from './ready-answers.ts'

export interface SharedHitParts {
  readonly live: () => Live
  readonly decisions: CacheDecisions
  readonly aliases: Aliases
  readonly cache: Tiered
  readonly mayGive: VersionRules['mayGive']
  readonly forms: Pick<Forms, 'shown'>
  /** Undefined: there is no process memory. */
  readonly ready: ReadyAnswers | undefined
  readonly admission: Admission
  readonly observer: Observer
  readonly clock: Clock
}

/** Serves a request that the tiers do not answer. `began`: when it arrived, in monotonic milliseconds. */
type OnMiss = (began: number, tierMiss: TierMiss) => void

/** False: nothing was done. True: the request is being answered, or goes to `onMiss` if the tiers do not have its answer. */
export type SharedHit = (exchange: HttpExchange, onMiss: OnMiss) => boolean

/** A request that waits for the shared tiers. */
interface WaitingRequest {
  readonly exchange: HttpExchange
  readonly decision: CacheDecision
  readonly body: Uint8Array
  readonly raw: Digest
  readonly alias: Alias
  /** Monotonic milliseconds. */
  readonly began: number
  /** The cache's mark when the request arrived. */
  readonly mark: number
  readonly onMiss: OnMiss
}

export function createSharedHit(parts: SharedHitParts): SharedHit {
  const { aliases, cache, forms, ready, admission, clock } = parts

  return function sharedHit(exchange, onMiss) {
    const waiting = waitingOf(parts, exchange, onMiss)
    if (!waiting) return false
    // Admission comes first: a caller who may not have the answer must not cost the tiers a look-up.
    const { principal, identity } = exchange.notes
    if (admission.admit(identity, callerOf(principal, exchange.peer), 'answer') !== 'allowed') return false
    exchange.onAbort = () => clientLeft(parts, waiting)
    cache.lookupOne(waiting.alias.whole, (found) => settle(waiting, found))
    return true
  }

  function settle(waiting: WaitingRequest, found: CacheHit | undefined): void {
    const { exchange, decision, raw } = waiting
    if (exchange.onAbort === undefined) return
    exchange.onAbort = undefined
    const isOurs = found !== undefined && parts.mayGive(matchedOf(waiting), found.entry)
    const freshness = isOurs ? judge(found.entry, decision.directives, clock.wall()) : 'dead'
    if (found && freshness === 'fresh' && answered(waiting, found)) return
    // The entry is gone; whoever stores it again sets the alias again.
    if (freshness === 'dead') aliases.delete(raw)
    const fallback = freshness === 'fresh' || freshness === 'dead' ? undefined : found?.entry
    waiting.onMiss(waiting.began, { fallback })
  }

  function answered(waiting: WaitingRequest, { entry, tier }: CacheHit): boolean {
    const { exchange, decision, body, raw, alias, mark } = waiting
    const matched = matchedOf(waiting)
    const { form } = entry
    const { headers: fields = [], query = '' } = exchange.notes
    const call = { headers: fields, query, body, target: matched.target }
    const origin = { form, shown: forms.shown(matched) }
    const reply = matched.protocol.address(replyOf(entry), call, undefined, origin)
    if (!reply || !isWholeReply(reply)) return false
    const wall = clock.wall()
    const outcome = {
      kind: 'hit' as const,
      tier,
      ageMs: ageMs(entry, wall),
      ttlMs: remainingMs(entry, wall),
    }
    const cors = addedFields(matched.route, fields)
    try {
      if (exchange.answerText && !reply.trailers) sendText(exchange, reply, { outcome, wall, cors })
      else sendWhole(exchange, reply, clientFields(reply), [...cacheFields(outcome), ...(cors?.pairs ?? [])])
    } catch {
      // A field cannot be sent; the pipeline reports which.
      return false
    }
    const status = statusTold(exchange, reply, undefined)
    tell(parts, waiting, { status, outcome, saved: reply.saved?.() }, reply.body.length)
    if (!decision.directives.noStore && cache.mark() === mark) ready?.set(raw, reply, [entry], alias.of)
    return true
  }
}

/** The first call with this head found its route and principal, which still hold. A call with a deadline of its own needs a timer. */
function isKnown({ live, timeout, authentication }: HeadNotes, settings: Live, clock: Clock): boolean {
  if (live !== settings || timeout !== Number.POSITIVE_INFINITY) return false
  return !authentication || holdsAt(authentication, clock.wall())
}

/** Undefined unless the request is a repeat whose answer only a shared tier may have. */
function waitingOf(
  { live, decisions, aliases, cache, clock }: SharedHitParts,
  exchange: HttpExchange,
  onMiss: OnMiss,
): WaitingRequest | undefined {
  const { notes } = exchange
  const { matched } = notes
  const settings = live()
  if (!matched || !isKnown(notes, settings, clock)) return undefined
  if (exchange.method !== 'POST' || !exchange.isBodyHere) return undefined
  const decision = decisions.known(matched, notes)
  if (!decision?.key?.seed.shared || needsPipeline(decision)) return undefined
  const body = exchange.whole(Number.POSITIVE_INFINITY, neverWaits)
  if (!(body instanceof Uint8Array) || body.length > settings.maxBodyBytes) return undefined
  const raw = rawDigest(decision.key.prefix, body)
  const alias = aliases.get(raw)
  if (!alias || cache.peek(alias.whole) || (alias.of && !stillHolds(alias.of, decision))) return undefined
  if (isForPipeline((alias.of ?? decision).matched.route)) return undefined
  return { exchange, decision, body, raw, alias, began: clock.now(), mark: cache.mark(), onMiss }
}

/** Whether the pipeline is to answer: it records, tells stages, and notes what is sampled. One that it need not note counts. */
function isForPipeline({ log, serverTiming, warm }: Matched['route']): boolean {
  if (log || serverTiming || warm?.isDue) return true
  warm?.takes()
  return false
}

/** The route match that the answer is for. */
function matchedOf({ alias, decision }: WaitingRequest): Matched {
  return (alias.of ?? decision).matched
}

/** Ends a request whose client closed the connection while the tiers were asked. */
function clientLeft(parts: SharedHitParts, waiting: WaitingRequest): void {
  waiting.exchange.onAbort = undefined
  waiting.exchange.cut()
  const { code, fault } = new GatewayError('callerLeft', 'the client closed the connection')
  tell(parts, waiting, { status: fault.status, outcome: { kind: 'none' }, fault: code }, 0)
}

/** Tells of a request that was answered. */
function tell(parts: SharedHitParts, waiting: WaitingRequest, result: Result, bytesOut: number): void {
  const { observer, clock } = parts
  const { exchange, began } = waiting
  const now = clock.now()
  const report = reportOf(waiting, now, result)
  observer.answered(report)
  const { calls } = parts.live()
  if (!calls) return
  const record = calls.begin(began, header(exchange.headers, TRACEPARENT))
  record.step('cache', began, now, 'tier' in result.outcome ? result.outcome.tier : undefined)
  const { method, notes, length = 0 } = exchange
  calls.ended(report, () => calledOf({ method, notes, length }, exchange, bytesOut), record)
}

type Result = Pick<Answered, 'status' | 'outcome' | 'fault' | 'saved'>

function reportOf(waiting: WaitingRequest, now: number, result: Result): Answered {
  const { exchange, began } = waiting
  const matched = matchedOf(waiting)
  return {
    door: exchange.door,
    requestId: exchange.requestId,
    route: matched.route.name,
    pool: matched.route.pool,
    protocol: matched.protocol.name,
    model: matched.target.model,
    tenant: namedTenant(exchange.notes.identity),
    ms: now - began,
    ...result,
  }
}

const SECOND = 1000

/** Entries with equal fields mostly share one array, so the last head is remembered. */
const hitHeadOf = lastOf(
  (headers: RawPairs, status: number, tier: string) => new HitHead(status, headers, tier),
)

interface SharedAnswer {
  readonly outcome: { readonly tier: string; readonly ageMs: number; readonly ttlMs: number }
  /** Milliseconds. */
  readonly wall: number
  readonly cors: CorsFields | undefined
}

/** Throws TypeError if a field cannot be sent. */
function sendText(
  exchange: HttpExchange,
  { status, headers, body }: WholeReply,
  { outcome: { tier, ageMs, ttlMs }, wall, cors }: SharedAnswer,
): void {
  const head = hitHeadOf(headers, status, tier)
  const times = { wall, age: Math.floor(ageMs / SECOND), left: Math.ceil(ttlMs / SECOND) }
  const behind = cors?.text ?? ''
  exchange.answerText?.(
    status,
    (connection, requestId) => head.at(times, body.length, connection + behind) + headEnd(requestId),
    head.hasBody ? body : undefined,
  )
}

/** Whether the directives need more than one look-up. */
function needsPipeline({ directives }: CacheDecision): boolean {
  return directives.noCache || directives.noTransform === true || directives.ignored !== undefined
}

/** The signal of a body that has arrived: nobody waits for it. */
function neverWaits(): Call['signal'] {
  throw new Error('a body that is here was waited for')
}
