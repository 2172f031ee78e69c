/** Writes the answers of the fast paths to a connection of HTTP/1.1. */
import type { GatewayError } from '../../../core/errors.ts'
import { errorAnswer } from '../../exchange/error-answer.ts'
import { ReadyHead } from '../../exchange/ready-head.ts'
import { type AnswerWriter, corsOf, type Repeated } from '../../hits/fast-answer.ts'
import { bodyFrom, type ReadyAnswer } from '../../hits/ready-answers.ts'
import type { CorsFields } from '../../route/cors.ts'
import type { Matched } from '../../route/routes.ts'
import type { ResponseWriter } from './request.ts'
import type { SocketWriter } from './socket-writer.ts'

export class TextAnswers implements AnswerWriter {
  readonly door = 'fast'
  /** A body with Content-Length cannot be followed by trailers. */
  readonly hasTrailers = false
  requestId = ''
  /** Finds the field in the bytes of the present request, where somebody asks. */
  findTraceparent: () => string | undefined = () => undefined
  readonly #writer: TextWriter

  constructor(writer: TextWriter) {
    this.#writer = writer
  }

  get traceparent(): string | undefined {
    return this.findTraceparent()
  }

  get peer(): string {
    return this.#writer.peer
  }

  sendHit(answer: ReadyAnswer, tier: string, wall: number, cors: CorsFields | undefined): void {
    const head = (answer.head ??= new ReadyHead(answer, tier))
    const connection = this.#writer.connectionFields(false)
    const bytes = head.at(wall, cors ? connection + cors.text : connection)
    this.#writer.out.sendReady(bytes, this.requestId, head.hasBody ? bodyFrom(answer) : undefined)
  }

  sendError(head: Repeated, fault: GatewayError, matched: Matched | undefined, wall: number): number {
    const { method } = head
    const answer = errorAnswer(fault, matched?.protocol)
    const connection = this.#writer.connectionFields(false)
    const asked = { method, cors: corsOf(matched, head), connection, requestId: this.requestId }
    this.#writer.send(answer.text(wall, asked), undefined)
    return answer.reply.status
  }
}

/** The part of a connection that these answers need. */
export interface TextWriter extends Pick<ResponseWriter, 'peer' | 'connectionFields' | 'send'> {
  readonly out: Pick<SocketWriter, 'sendReady'>
}
