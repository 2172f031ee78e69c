/**
 * A hit in process memory, the short way. A byte-identical repeat under a head that came before is answered by one digest,
 * one look-up and one write: no call is made of it, no promise and no timer. Whatever is not exactly that goes the long
 * way, through ingress and pipeline, which decide everything; what they would decide again for an equal head is kept with
 * the head, for as long as settings, purge epochs and deployment tokens are the same.
 */
import type { Answered, Observer } from '../../core/observer.ts'
import type { Clock } from '../../lib/clock.ts'
import { ageMs, remainingMs } from '../cache/entry.ts'
import { judge } from '../cache/freshness.ts'
import { type Admission, callerOf } from '../decision/admission.ts'
import { type CacheDecision, type CacheDecisions, stillHolds } from '../decision/cache-decision.ts'
import type { HttpExchange } from '../exchange/exchange.ts'
import { MAX_TEXT_BODY_BYTES, ReadyText } from '../exchange/ready-text.ts'
import { digestOfPieces } from '../key/raw.ts'
import type { Live, Matched } from '../route/routes.ts'
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

/** A head, and the line its answer goes back on. */
export type Repeated = Pick<HttpExchange, 'method' | 'notes'> & {
  /** Bytes of the body. */
  readonly length: number
}

export interface AnswerWriter {
  readonly peer: string
  /** The field lines about the connection for the next answer. */
  connectionFields(last: boolean): string
  send(head: string, body: Uint8Array | undefined): void
}

/** What answered a request. */
export type HitSource = HotEntry<ReadyAnswer>

/** Bytes that were answered at once, and from what. */
export interface Repeat {
  readonly head: Repeated
  /** What the digest covered before the body. */
  readonly prefix: string
  readonly source: HitSource
}

export interface MemoryHit {
  /** `body`: in the pieces it came in. What has answered the request, all of it; undefined: nothing has been done. */
  answer(head: Repeated, body: readonly Uint8Array[], writer: AnswerWriter): HitSource | undefined
  /** The very bytes that were answered so have come again. True where they are answered once more; false: nothing has been done. */
  answerRepeat(repeat: Repeat, writer: AnswerWriter): boolean
}

export const noMemoryHit: MemoryHit = { answer: () => undefined, answerRepeat: () => false }

export function repeatOf(head: Repeated, source: HitSource): Repeat {
  return { head, prefix: head.notes.decision?.key?.prefix ?? '', source }
}

export class MemoryHits implements MemoryHit {
  readonly #parts: MemoryHitParts
  // Written anew for each hit, as nobody keeps what is told of a call: two objects fewer a hit.
  readonly #outcome
  readonly #report: MutableAnswered

  constructor(parts: MemoryHitParts) {
    this.#parts = parts
    this.#outcome = { kind: 'hit' as const, tier: parts.memory, ageMs: 0, ttlMs: 0 }
    this.#report = {
      door: 'fast',
      route: '',
      protocol: '',
      model: undefined,
      status: 0,
      outcome: this.#outcome,
      ms: 0,
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
    // The same bytes, and under the same prefix: they would have the same digest.
    if (decision?.key?.prefix !== prefix) return false
    const { ready, clock } = this.#parts
    const began = clock.now()
    return ready.holds(source, began) && this.#write(source.value, { head, decision }, writer, began)
  }

  /** What the head decides, where an answer may come from here. */
  #decisionOf(head: Repeated): CacheDecision | undefined {
    const live = this.#parts.live()
    const { notes } = head
    const { matched } = notes
    // The first call with this head has told where it goes.
    if (notes.live !== live || !matched) return undefined
    if (head.method === 'HEAD' || head.length > live.maxBodyBytes) return undefined
    const { decisions } = this.#parts
    const decision = decisions.known(matched, notes) ?? decided(decisions, head, matched)
    if (!decision || decision instanceof Promise || !decision.key) return undefined
    // What is ready may have been made of the answer to another spelling.
    return decision.directives.noCache || decision.directives.noTransform ? undefined : decision
  }

  #write(answer: ReadyAnswer, { head, decision }: KnownHead, writer: AnswerWriter, began: number): boolean {
    const { admission, memory, observer, clock } = this.#parts
    const wall = clock.wall()
    const { of } = answer
    if (judge(answer, decision.directives, wall) !== 'fresh' || (of && !stillHolds(of, decision)))
      return false
    // A text of a known length has no place for fields behind it.
    if (answer.reply.trailers) return false
    if (admission.admit(callerOf(head.notes.principal, writer.peer), 'answer') !== 'allowed') return false
    answer.text ??= new ReadyText(answer, memory)
    const whole = answer.reply.body as Uint8Array
    writer.send(
      answer.text.at(wall, writer.connectionFields(false)),
      whole.length > MAX_TEXT_BODY_BYTES ? whole : undefined,
    )
    this.#outcome.ageMs = ageMs(answer, wall)
    this.#outcome.ttlMs = remainingMs(answer, wall)
    const { matched } = of ?? decision
    const report = this.#report
    report.route = matched.route.name
    report.protocol = matched.protocol.name
    report.model = matched.target.model
    report.status = answer.reply.status
    report.ms = clock.now() - began
    observer.answered(report)
    return true
  }
}

/** What a head decides under new settings, epochs or tokens: its first call has noted all that keys are made of. */
function decided(decisions: CacheDecisions, { method, notes }: Repeated, matched: Matched) {
  const { path, query, host, headers, principal } = notes
  if (path === undefined || query === undefined || host === undefined) return undefined
  if (headers === undefined || principal === undefined) return undefined
  const of = { method, target: matched.target, path, query, headers, host, principal }
  return decisions.of(of, matched, notes)
}

interface KnownHead {
  readonly head: Repeated
  readonly decision: CacheDecision
}

/** `Answered`, to be written to. */
type MutableAnswered = { -readonly [K in keyof Answered]: Answered[K] }
