/**
 * The fast path of a refusal. A caller under a head that is known to be refused, or one of a tenant that has used up a limit,
 * is told so before a call is made of its request, so that a flood of them costs no more than hits do. Ingress and pipeline
 * decide the same, and keep it with the head for as long as settings and credentials stay the same.
 */
import { namedTenant } from '../../core/identity.ts'
import type { Answered, Observer } from '../../core/observer.ts'
import type { Clock } from '../../lib/clock.ts'
import { holdsAt } from '../auth/proof.ts'
import { type Admission, callerOf, isLimited } from '../decision/admission.ts'
import type { Refused } from '../exchange/exchange.ts'
import { isOpen, type Live } from '../route/routes.ts'
import type { AnswerWriter, Repeated } from './fast-answer.ts'

export interface FastRefusalParts {
  readonly live: () => Live
  readonly admission: Pick<Admission, 'refusal'>
  readonly observer: Observer
  readonly clock: Clock
}

export interface FastRefusal {
  /** Refuses a request whose body has arrived, and need not be read. False: nothing was done. */
  answer(head: Repeated, writer: AnswerWriter): boolean
}

export const noFastRefusal: FastRefusal = { answer: () => false }

/** A request that is refused. `began`: when it arrived, in monotonic milliseconds; `wall`: the same by the wall clock. */
export type RefusedRequest = Refused & {
  readonly head: Repeated
  readonly began: number
  readonly wall: number
}

export class FastRefusals implements FastRefusal {
  readonly #parts: FastRefusalParts

  constructor(parts: FastRefusalParts) {
    this.#parts = parts
  }

  answer(head: Repeated, writer: AnswerWriter): boolean {
    const { live, clock } = this.#parts
    const { notes } = head
    const settings = live()
    if (notes.live !== settings || (!notes.refused && !isLimited(notes.identity))) return false
    const began = clock.now()
    const wall = clock.wall()
    if (notes.authentication && !holdsAt(notes.authentication, wall)) return false
    const refused = notes.refused ?? this.#limited(head, settings, writer.peer)
    if (refused) this.write({ ...refused, head, began, wall }, writer)
    return refused !== undefined
  }

  /** Answers with the error, and tells the observer. */
  write({ refusal, matched, head, began, wall }: RefusedRequest, writer: AnswerWriter): void {
    const { observer, clock } = this.#parts
    const status = writer.sendError(head, refusal, matched, wall)
    observer.answered({
      door: writer.door,
      route: matched?.route.name ?? '',
      protocol: matched?.protocol.name ?? '',
      model: matched?.target.model,
      tenant: namedTenant(head.notes.identity),
      status,
      outcome: NO_OUTCOME,
      ms: clock.now() - began,
      fault: refusal.code,
      limit: refusal.detail.limit,
    })
  }

  /** Why the request is refused by what its tenant has used. */
  #limited({ notes, length }: Repeated, { maxBodyBytes }: Live, peer: string): Refused | undefined {
    const { matched, identity, principal } = notes
    // What is found out before admission on the long way comes first.
    if (!matched || isOpen(matched) || length > maxBodyBytes) return undefined
    const refusal = this.#parts.admission.refusal(identity, callerOf(principal, peer))
    return refusal && { refusal, matched }
  }
}

const NO_OUTCOME: Answered['outcome'] = { kind: 'none' }
