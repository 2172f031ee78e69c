/**
 * The fast path of a refusal. A caller under a head that is known to be refused, or one of a tenant that has used up a limit,
 * is told so before a call is made of its request, so that a flood of them costs no more than hits do. Ingress and pipeline
 * decide the same, and keep it with the head for as long as settings and credentials stay the same.
 */
import { type Identity, namedTenant } from '../../core/identity.ts'
import type { Answered, Observer } from '../../core/observer.ts'
import type { Clock } from '../../lib/clock.ts'
import { holdsAt } from '../auth/proof.ts'
import { type Admission, callerOf, isLimited } from '../decision/admission.ts'
import { errorAnswer } from '../exchange/error-answer.ts'
import type { Refused } from '../exchange/exchange.ts'
import { isOpen, type Live } from '../route/routes.ts'
import { type AnswerWriter, calledOf, type Repeated } from './fast-answer.ts'

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

export class FastRefusals implements FastRefusal {
  readonly #parts: FastRefusalParts
  // Reused for each refusal, since observers keep no event.
  readonly #report: MutableAnswered = {
    door: 'fast',
    requestId: '',
    route: '',
    pool: '',
    protocol: '',
    model: undefined,
    tenant: undefined,
    status: 0,
    outcome: { kind: 'none' },
    ms: 0,
    fault: '',
    limit: undefined,
  }

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
    if (!refused) return false
    const { matched, refusal } = refused
    this.#report.door = writer.door
    this.#report.requestId = writer.requestId
    this.#report.status = writer.sendError(head, refusal, matched, wall)
    this.#report.ms = clock.now() - began
    this.#tell(refused, notes.identity)
    const interest = settings.calls?.interest(this.#report, writer)
    if (!interest) return true
    const { length } = errorAnswer(refusal, matched?.protocol).reply.body
    settings.calls?.tell(interest, this.#report, calledOf(head, writer, length))
    return true
  }

  #tell({ matched, refusal }: Refused, identity: Identity | undefined): void {
    const report = this.#report
    report.route = matched?.route.name ?? ''
    report.pool = matched?.route.pool
    report.protocol = matched?.protocol.name ?? ''
    report.model = matched?.target.model
    report.tenant = namedTenant(identity)
    report.fault = refusal.code
    report.limit = refusal.detail.limit
    this.#parts.observer.answered(report)
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

/** A mutable `Answered`. */
type MutableAnswered = { -readonly [K in keyof Answered]: Answered[K] }
