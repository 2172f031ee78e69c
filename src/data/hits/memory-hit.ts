/**
 * The fast path of a hit in process memory. A byte-identical repeat under a head seen before costs one digest, one look-up and
 * one write: no call, no promise and no timer is made for it. Any other request goes through ingress and pipeline, which
 * decide everything; their decision for a head is kept with it, for as long as settings, purge epochs and deployment
 * tokens stay the same.
 */
import { namedTenant } from '../../core/identity.ts'
import type { Answered, Observer } from '../../core/observer.ts'
import type { Clock } from '../../lib/clock.ts'
import { holdsAt } from '../auth/proof.ts'
import { ageMs, remainingMs } from '../cache/entry.ts'
import { judge } from '../cache/freshness.ts'
import { type Admission, callerOf } from '../decision/admission.ts'
import { type CacheDecision, type CacheDecisions, stillHolds } from '../decision/cache-decision.ts'
import { digestOfPieces } from '../key/raw.ts'
import type { Live, Matched } from '../route/routes.ts'
import { type AnswerWriter, calledOf, corsOf, type Repeated } from './fast-answer.ts'
import type { HotEntry } from './hot-cache.ts'
import type { ReadyAnswer, ReadyAnswers } from './ready-answers.ts'

export interface MemoryHitParts {
  readonly live: () => Live
  readonly decisions: CacheDecisions
  readonly ready: ReadyAnswers
  readonly admission: Admission
  /** The name of process memory in the settings. */
  readonly memory: string
  readonly observer: Observer
  readonly clock: Clock
}

/** The ready answer that answered a request. */
export type HitSource = HotEntry<ReadyAnswer>

/** A request that was a memory hit, and the answer it was given. */
export interface Repeat {
  readonly head: Repeated
  /** What the digest covered before the body. */
  readonly prefix: string
  readonly source: HitSource
}

export interface MemoryHit {
  /**
   * Answers the request and returns what it is answered from; undefined: not a hit, or its caller is refused, and nothing was
   * done. `body`: in pieces.
   */
  answer(head: Repeated, body: readonly Uint8Array[], writer: AnswerWriter): HitSource | undefined
  /** The same for the same bytes once more. False: the answer no longer holds, nothing was done. */
  answerRepeat(repeat: Repeat, writer: AnswerWriter): boolean
}

export const noMemoryHit: MemoryHit = { answer: () => undefined, answerRepeat: () => false }

export function repeatOf(head: Repeated, source: HitSource): Repeat {
  return { head, prefix: head.notes.decision?.key?.prefix ?? '', source }
}

export class MemoryHits implements MemoryHit {
  readonly #parts: MemoryHitParts
  // Reused for each hit, since observers keep no event: this saves two objects a hit.
  readonly #outcome
  readonly #report: MutableAnswered

  constructor(parts: MemoryHitParts) {
    this.#parts = parts
    this.#outcome = { kind: 'hit' as const, tier: parts.memory, ageMs: 0, ttlMs: 0, rows: 1 }
    this.#report = {
      door: 'fast',
      requestId: '',
      route: '',
      pool: '',
      protocol: '',
      model: undefined,
      tenant: undefined,
      status: 0,
      outcome: this.#outcome,
      ms: 0,
      saved: undefined,
    }
  }

  answer(head: Repeated, body: readonly Uint8Array[], writer: AnswerWriter): HitSource | undefined {
    const decision = this.#decisionOf(head)
    if (!decision?.key) return undefined
    const { ready, clock } = this.#parts
    const began = clock.now()
    const source = ready.find(digestOfPieces(decision.key.prefix, body, head.length), began)
    return source && this.#write(source.value, { head, decision }, writer, began) ? source : undefined
  }

  answerRepeat({ head, prefix, source }: Repeat, writer: AnswerWriter): boolean {
    const decision = this.#decisionOf(head)
    // The same bytes under the same prefix have the same digest.
    if (decision?.key?.prefix !== prefix) return false
    const { ready, clock } = this.#parts
    const began = clock.now()
    return ready.holds(source, began) && this.#write(source.value, { head, decision }, writer, began)
  }

  /** The cache decision of the head; undefined if the call cannot be a memory hit. */
  #decisionOf(head: Repeated): CacheDecision | undefined {
    const live = this.#parts.live()
    const { notes } = head
    const { matched } = notes
    // The first call with this head found its route.
    if (notes.live !== live || !matched) return undefined
    if (head.method === 'HEAD' || head.length > live.maxBodyBytes) return undefined
    const { decisions } = this.#parts
    const decision = decisions.known(matched, notes) ?? decided(decisions, head, matched)
    if (!decision || decision instanceof Promise || !decision.key) return undefined
    // `no-transform`: a ready answer may be the answer to another spelling of the call.
    return decision.directives.noCache || decision.directives.noTransform ? undefined : decision
  }

  #write(answer: ReadyAnswer, { head, decision }: KnownHead, writer: AnswerWriter, began: number): boolean {
    const { admission, memory, observer, clock } = this.#parts
    const wall = clock.wall()
    const { matched } = answer.of ?? decision
    const { noStore } = decision.directives
    const log = noStore ? undefined : matched.route.log
    const warm = noStore ? undefined : matched.route.warm
    const { identity, principal } = head.notes
    if (!isGood(answer, { head, decision }, wall)) return false
    if (answer.reply.trailers && !writer.hasTrailers) return false
    // The pipeline answers, and records, what the prediction log wants.
    if (log?.isDue) return false
    // So does it with what is noted for warming.
    if (warm?.isDue) return false
    // So does it where stages are to be told.
    if (matched.route.serverTiming) return false
    if (admission.admit(identity, callerOf(principal, writer.peer), 'answer') !== 'allowed') return false
    writer.sendHit(answer, memory, wall, corsOf(matched, head))
    log?.takes()
    warm?.takes()
    this.#outcome.ageMs = ageMs(answer, wall)
    this.#outcome.ttlMs = remainingMs(answer, wall)
    this.#outcome.rows = answer.rows
    const report = this.#report
    report.door = writer.door
    report.requestId = writer.requestId
    report.route = matched.route.name
    report.pool = matched.route.pool
    report.protocol = matched.protocol.name
    report.model = matched.target.model
    report.tenant = namedTenant(identity)
    report.status = answer.reply.status
    report.ms = clock.now() - began
    report.saved = answer.saved
    observer.answered(report)
    const { calls } = this.#parts.live()
    const interest = calls?.interest(report, writer)
    if (interest) calls?.tell(interest, report, calledOf(head, writer, answer.reply.body.length))
    return true
  }
}

/** Whether caller and answer are still what they were. */
function isGood(answer: ReadyAnswer, { head, decision }: KnownHead, wall: number): boolean {
  const { authentication } = head.notes
  if (authentication && !holdsAt(authentication, wall)) return false
  if (judge(answer, decision.directives, wall) !== 'fresh') return false
  return !answer.of || stillHolds(answer.of, decision)
}

/** Decides a known head anew after settings, epochs or tokens changed; the notes have all that keys are made of. */
function decided(decisions: CacheDecisions, { method, notes }: Repeated, matched: Matched) {
  const { path, query, host, headers, principal, identity } = notes
  if (path === undefined || query === undefined || host === undefined) return undefined
  if (headers === undefined || principal === undefined) return undefined
  const sent = matched.route.rewrite?.path(path) ?? path
  const of = { method, target: matched.target, path: sent, query, headers, host, principal, identity }
  return decisions.of(of, matched, notes)
}

interface KnownHead {
  readonly head: Repeated
  readonly decision: CacheDecision
}

/** A mutable `Answered`. */
type MutableAnswered = { -readonly [K in keyof Answered]: Answered[K] }
