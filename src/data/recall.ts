/**
 * The short way of an answer that only a shared tier may have. A byte-identical repeat of a call whose key is known by its
 * bytes is looked for there before a call is made of the request: no promise, no timer, nothing is read. All else goes the
 * long way, with what was found out: a tier that was asked is not asked again.
 */
import { type Call, modelName } from '../core/call.ts'
import { GatewayError } from '../core/errors.ts'
import type { Digest } from '../core/key.ts'
import type { Answered, Observer } from '../core/observer.ts'
import type { Clock } from '../lib/clock.ts'
import type { Aliases } from './cache/aliases.ts'
import { ageMs, remainingMs } from './cache/entry.ts'
import { judge } from './cache/freshness.ts'
import type { ReadyAnswers } from './cache/ready.ts'
import type { RefreshBudget } from './cache/refresh-budget.ts'
import type { Found, Tiered } from './cache/tiered.ts'
import { forwardedReply } from './ingress/headers.ts'
import type { Intake } from './ingress/intake.ts'
import type { Live, Matched } from './ingress/routes.ts'
import { age, cacheStatus } from './ingress/status.ts'
import type { Asked } from './job.ts'
import { rawDigest } from './key/raw.ts'
import type { Standing, Standings } from './standing.ts'

export interface RecallParts {
  readonly live: () => Live
  readonly standings: Standings
  readonly aliases: Aliases
  readonly cache: Tiered
  readonly ready: ReadyAnswers
  readonly refreshes: RefreshBudget
  readonly observer: Observer
  readonly clock: Clock
}

/** `began`: when the request came, in monotonic milliseconds. */
type Otherwise = (began: number, asked: Asked) => void

/** False: nothing has been done. True: it is answered, or given to `otherwise` when the tiers do not have it. */
export type Recall = (intake: Intake, otherwise: Otherwise) => boolean

/** A request that waits for the tiers. */
interface Waiting {
  readonly intake: Intake
  readonly matched: Matched
  readonly standing: Standing
  readonly body: Uint8Array
  readonly raw: Digest
  /** Monotonic milliseconds. */
  readonly began: number
  /** Of the cache. */
  readonly mark: number
  readonly otherwise: Otherwise
}

export function createRecall(parts: RecallParts): Recall {
  const { standings, aliases, cache, ready, refreshes, observer, clock } = parts

  return function recall(intake, otherwise) {
    const { notes } = intake
    const { matched } = notes
    const live = parts.live()
    // The first call with this head has told where it goes and whose it is; one in a hurry has a deadline of its own.
    if (notes.live !== live || !matched || notes.timeout !== Number.POSITIVE_INFINITY) return false
    if (intake.method !== 'POST' || !intake.isHere || (intake.length ?? 0) > live.maxBodyBytes) return false
    const standing = standings.known(matched, notes)
    if (!standing?.key?.seed.shared || isPicky(standing)) return false
    const body = intake.whole(live.maxBodyBytes, unheard)
    if (!(body instanceof Uint8Array)) return false
    const raw = rawDigest(standing.key.prefix, body)
    const whole = aliases.get(raw)
    if (whole === undefined || cache.peek(whole)) return false
    const began = clock.now()
    const waiting = { intake, matched, standing, body, raw, began, mark: cache.mark(), otherwise }
    intake.gone = () => left(waiting)
    cache.seek(whole, (found) => settle(waiting, found))
    return true
  }

  function settle(waiting: Waiting, found: Found | undefined): void {
    const { intake, standing, raw } = waiting
    if (intake.gone === undefined) return
    intake.gone = undefined
    const freshness = found ? judge(found.entry, standing.wish, clock.wall()) : 'dead'
    if (found && freshness === 'fresh' && answered(waiting, found)) return
    // What the key leads to is not there: whoever stores it names it again.
    if (freshness === 'dead') aliases.delete(raw)
    const fallback = freshness === 'fresh' || freshness === 'dead' ? undefined : found?.entry
    waiting.otherwise(waiting.began, { fallback })
  }

  function answered(waiting: Waiting, { entry, tier }: Found): boolean {
    const { intake, matched, standing, body, raw, mark } = waiting
    const { status, headers } = entry
    const call = { headers: intake.headers, query: intake.notes.query ?? '', body }
    const reply = matched.protocol.address({ status, headers, body: entry.body }, call)
    if (!reply || !(reply.body instanceof Uint8Array)) return false
    const wall = clock.wall()
    const outcome = {
      kind: 'hit' as const,
      tier,
      ageMs: ageMs(entry, wall),
      ttlMs: remainingMs(entry, wall),
    }
    const fields = forwardedReply(reply.headers)
    fields.push('Cache-Status', cacheStatus(outcome) as string, 'Age', String(age(outcome)))
    try {
      intake.answer(reply.status, fields, reply.body)
    } catch {
      // The long way says what is wrong with the answer.
      return false
    }
    // Counted, as every call of this caller is.
    refreshes.allows(intake.notes.principal || intake.peer, false)
    tell(waiting, { status: reply.status, outcome })
    if (!standing.wish.noStore && cache.mark() === mark) ready.set(raw, reply, [entry])
    return true
  }

  /** The client has left: what the tiers say is for nobody. */
  function left(waiting: Waiting): void {
    waiting.intake.gone = undefined
    waiting.intake.cut()
    const { code, fault } = new GatewayError('callerLeft', 'the client closed the connection')
    tell(waiting, { status: fault.status, outcome: { kind: 'none' }, fault: code })
  }

  function tell(
    { intake, matched, began }: Waiting,
    result: Pick<Answered, 'status' | 'outcome' | 'fault'>,
  ): void {
    observer.answered({
      door: intake.door,
      route: matched.route.name,
      protocol: matched.protocol.name,
      model: modelName(matched.target),
      ms: clock.now() - began,
      ...result,
    })
  }
}

/** Wishes that more than one look-up decides about. */
function isPicky({ wish }: Standing): boolean {
  return wish.noCache || wish.noTransform === true || wish.ignored !== undefined
}

/** A body that is here is not waited for. */
function unheard(): Call['signal'] {
  throw new Error('a body that is here was waited for')
}
