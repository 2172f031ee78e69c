/**
 * An error of the gateway's own as an answer in the dialect of the call. Whoever is refused mostly comes again, and must not cost
 * more than others: the errors that refuse callers are made once, and so are their answers, also as text that is ready to be
 * written.
 */
import type { RawPairs } from '../../core/call.ts'
import type { CallRecord } from '../../core/call-record.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { Fields, Reply } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import { lastOf } from '../../lib/memo.ts'
import { grpcFault, grpcStatusOf } from '../../protocol/grpc/fault.ts'
import { isGrpc } from '../../protocol/grpc/fields.ts'
import { spokenStatus } from '../../protocol/grpc/status.ts'
import { problem } from '../../protocol/problem.ts'
import type { Protocol } from '../../protocol/protocol.ts'
import { proxyStatus } from '../http/status.ts'
import { addedFields } from '../route/added-fields.ts'
import type { CorsFields } from '../route/cors.ts'
import type { Matched } from '../route/routes.ts'
import type { HttpExchange } from './exchange.ts'
import { dateLine, fieldLines, headEnd, statusLine } from './reply-head.ts'
import type { WholeReply } from './whole-answer.ts'

/** The part of a protocol that writes errors. */
type Dialect = Pick<Protocol, 'fault'>

/** Over gRPC all dialects have the same errors. */
const GRPC: Dialect = { fault: grpcFault }

/** What differs from answer to answer. */
interface Asked {
  /** Of the request: an answer to HEAD has no body. */
  readonly method: string
  /** The fields for pages of other origins; undefined: the route has none. */
  readonly cors: CorsFields | undefined
  /** The field lines about the connection. */
  readonly connection: string
  readonly requestId: string
}

export class ErrorAnswer {
  readonly reply: WholeReply
  readonly common: Fields
  readonly own: RawPairs
  readonly #before: string
  readonly #body: string
  #second = -1
  #cors = ''
  #connection = ''
  #head = ''

  constructor(fault: GatewayError, dialect: Dialect | undefined, traceId?: string) {
    this.reply = (dialect ? dialect.fault(fault, traceId) : problem(fault, traceId)) as WholeReply
    const { status, headers, body } = this.reply
    const own = ['Proxy-Status', proxyStatus(fault), ...(fault.detail.fields ?? [])]
    if (fault.fault.retry === 'later') own.push('Retry-After', String(fault.detail.retryAfterSeconds ?? 1))
    this.common = { pairs: headers }
    this.own = own
    this.#before = statusLine(status) + fieldLines(headers).text + fieldLines(own).text
    this.#body = Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1')
  }

  /** The answer as it is written. Its head is made anew only when a line is another than before; `wall`: milliseconds. */
  text(wall: number, { method, cors, connection, requestId }: Asked): string {
    const second = Math.floor(wall / 1000)
    const corsText = cors?.text ?? ''
    if (second !== this.#second || corsText !== this.#cors || connection !== this.#connection) {
      const framing = `Content-Length: ${this.reply.body.length}\r\n`
      this.#head = `${this.#before}${corsText}${dateLine(wall)}${framing}${connection}`
      this.#second = second
      this.#cors = corsText
      this.#connection = connection
    }
    const head = this.#head + headEnd(requestId)
    return method === 'HEAD' ? head : head + this.#body
  }
}

/** Of the errors that are still in use. */
const known = new WeakMap<GatewayError, Map<Dialect | undefined, ErrorAnswer>>()

/** `dialect`: undefined for calls without one. One is remembered: whoever is refused mostly comes again. */
export const errorAnswer = lastOf((fault: GatewayError, dialect: Dialect | undefined): ErrorAnswer => {
  const inDialects = known.get(fault) ?? new Map<Dialect | undefined, ErrorAnswer>()
  const found = inDialects.get(dialect)
  if (found) return found
  const made = new ErrorAnswer(fault, dialect)
  known.set(fault, inDialects.set(dialect, made))
  return made
})

interface Told {
  /** Undefined while there is no route. */
  readonly matched: Matched | undefined
  /** Milliseconds. */
  readonly wall: number
  /** Of a call that is traced; its answer is nobody else's. */
  readonly traceId?: string | undefined
}

/** What an error says of the call. */
export function toldOf(matched: Matched | undefined, clock: Pick<Clock, 'wall'>, record?: CallRecord): Told {
  return { matched, wall: clock.wall(), traceId: record?.trace?.traceId }
}

/** Sends the error, and returns the bytes of its body. */
export function sendError(
  exchange: HttpExchange,
  fault: GatewayError,
  { matched, wall, traceId }: Told,
): number {
  const { method, headers, notes } = exchange
  const dialect = isGrpcCall(exchange) ? GRPC : matched?.protocol
  const answer =
    traceId === undefined ? errorAnswer(fault, dialect) : new ErrorAnswer(fault, dialect, traceId)
  const { status, body } = answer.reply
  const cors = matched && addedFields(matched.route, notes.headers ?? headers)
  if (exchange.answerText)
    exchange.answerText(
      status,
      (connection, requestId) => answer.text(wall, { method, cors, connection, requestId }),
      undefined,
    )
  else exchange.answer(status, answer.common, [...answer.own, ...(cors?.pairs ?? [])], body)
  return body.length
}

/** Ends an answer that has begun: a call over gRPC is told the error in its trailers, any other has no place for it. */
export function cutShort(exchange: HttpExchange, fault: GatewayError): void {
  if (!isGrpcCall(exchange) || fault.code === 'callerLeft') return exchange.cut()
  exchange.end([...grpcStatusOf(fault), 'proxy-status', proxyStatus(fault)])
}

/** gRPC is spoken over HTTP/2 alone. */
function isGrpcCall({ door, headers }: Pick<HttpExchange, 'door' | 'headers'>): boolean {
  return door === 'h2' && isGrpc(headers)
}

/** The status that the caller was told, also where it is not that of HTTP. */
export function statusTold(
  exchange: HttpExchange,
  reply: Reply | undefined,
  fault: GatewayError | undefined,
): number {
  if (!isGrpcCall(exchange)) return exchange.status || (fault?.fault.status ?? 0)
  return fault?.fault.status ?? (reply ? spokenStatus(reply) : exchange.status)
}
