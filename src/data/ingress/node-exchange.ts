/** The HTTP exchange of the node:http door, which accepts all of HTTP/1.1. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RawPairs, WholeBody } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { PeerCertificate } from '../../core/peer-certificate.ts'
import type { Fields } from '../../core/reply.ts'
import { callersRequestId, SHOWN_REQUEST_ID } from '../../core/request-id.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { HeadNotes, HttpExchange } from '../exchange/exchange.ts'
import { isAuthority } from '../route/authority.ts'
import { clientCertificate } from './client-certificate.ts'
import type { HttpBody } from './node-body.ts'

/** A request of node:http, its response, and its body. */
export interface NodeMessages {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly body: HttpBody
  /** Whether the connection must end with this answer, because the gateway shuts down. */
  readonly isFinal: () => boolean
  /** Makes the id of a request that has none of its own. */
  readonly mintId: () => string
}

export class NodeExchange implements HttpExchange {
  readonly door = 'http'
  readonly notes: HeadNotes = {}
  onAbort: (() => void) | undefined
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #body: HttpBody
  readonly #isFinal: () => boolean
  readonly #mintId: () => string
  #requestId: string | undefined
  #isLast = false

  constructor({ request, response, body, isFinal, mintId }: NodeMessages) {
    this.#request = request
    this.#response = response
    this.#body = body
    this.#isFinal = isFinal
    this.#mintId = mintId
    // node:http emits an error on the request when the client leaves; without a listener it would be uncaught.
    request.on('error', () => {})
    response.once('close', () => {
      if (!response.writableFinished) this.onAbort?.()
    })
  }

  get method(): string {
    return this.#request.method ?? 'GET'
  }

  get target(): string {
    return this.#request.url ?? ''
  }

  get headers(): RawPairs {
    return this.#request.rawHeaders
  }

  get host(): string {
    return (this.#request.headers.host ?? '').toLowerCase()
  }

  get requestId(): string {
    this.#requestId ??= callersRequestId(this.headers) || this.#mintId()
    return this.#requestId
  }

  get peer(): string {
    return this.#request.socket.remoteAddress ?? ''
  }

  get certificate(): PeerCertificate | undefined {
    return clientCertificate(this.#request.socket)
  }

  get status(): number {
    return this.#response.headersSent ? this.#response.statusCode : 0
  }

  get length(): number | undefined {
    const { headers } = this.#request
    if (headers['transfer-encoding'] !== undefined) return undefined
    // node:http has already refused invalid lengths.
    return Number(headers['content-length'] ?? 0)
  }

  get isBodyHere(): boolean {
    return this.length === 0
  }

  check(): void {
    // If the request is refused here, its framing is in doubt: the connection ends with the refusal.
    this.#isLast = true
    checkStrictly(this.#request)
    this.#isLast = false
  }

  whole(maxBytes: number, signal: () => Signal): Promise<WholeBody> {
    this.#invite()
    return this.#body.whole(maxBytes, signal())
  }

  stream(maxBytes: number): AsyncIterable<Uint8Array> {
    this.#invite()
    return this.#body.stream(maxBytes)
  }

  answer(status: number, { pairs: common }: Fields, own: RawPairs, body: Uint8Array): void {
    const response = this.#response
    const out = withLength([...common, ...own, SHOWN_REQUEST_ID, this.requestId], status, body.length)
    // The rest of the body must not be parsed as the next request.
    if (this.#isUnread || this.#isLast || this.#isFinal()) out.push('Connection', 'close')
    response.writeHead(status, out)
    response.end(body)
  }

  begin(status: number, headers: RawPairs): void {
    const out = [...headers, SHOWN_REQUEST_ID, this.requestId]
    // After an error the client need not send the rest of its body.
    if ((status >= 400 && this.#isUnread) || this.#isFinal()) out.push('Connection', 'close')
    this.#response.writeHead(status, out)
    // An empty write, because `flushHeaders` writes field values as UTF-8, and they are Latin-1.
    this.#response.write(NOTHING)
  }

  write(chunk: Uint8Array): boolean {
    return this.#response.write(chunk)
  }

  drained(): Promise<void> {
    const response = this.#response
    return new Promise((resolve) => {
      const done = () => {
        response.off('drain', done).off('close', done)
        resolve()
      }
      response.on('drain', done).on('close', done)
    })
  }

  end(trailers: RawPairs): void {
    if (trailers.length > 0) this.#response.addTrailers(pairs(trailers))
    this.#response.end()
  }

  cut(): void {
    this.#response.destroy()
  }

  /** The body has not been read to its end. */
  get #isUnread(): boolean {
    return this.length !== 0 && !this.#body.isRead
  }

  /** Sends 100 Continue, once the head is accepted; HTTP/1.0 does not have it (RFC 9110, section 10.1.1). */
  #invite(): void {
    const { headers, httpVersion } = this.#request
    if (/\b100-continue\b/i.test(headers.expect ?? '') && httpVersion === '1.1')
      this.#response.writeContinue()
  }
}

const NOTHING = new Uint8Array(0)

/** Throws for a request that node:http accepts, but that another parser could read differently (request smuggling). */
function checkStrictly({ httpVersion, rawHeaders, headers }: IncomingMessage): void {
  if (httpVersion !== '1.1' && httpVersion !== '1.0')
    throw new GatewayError('badRequest', `HTTP/${httpVersion} is not spoken here: use HTTP/1.1`)
  // node:http uses the first of several Host fields; the server behind may use the last (RFC 9112, section 3.2).
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) if (/^host$/i.test(rawHeaders[i] as string)) hosts++
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1'))
    throw new GatewayError('badRequest', 'a request has exactly one Host field')
  if (headers.host && !isAuthority(headers.host))
    throw new GatewayError('badRequest', 'Host must be a name or an address, with or without a port')
  const codings = headers['transfer-encoding']?.toLowerCase()
  if (codings === undefined) return
  // If `chunked` is not the last coding, the end of the body is unknown (RFC 9112, section 6.3).
  if (!/(?:^|[,\s])chunked$/.test(codings))
    throw new GatewayError('badRequest', 'the last transfer coding must be "chunked"')
  // node:http decodes the chunks and no other coding: the backend would read the coded bytes as the content.
  if (codings !== 'chunked')
    throw new GatewayError('unknownCoding', 'of transfer codings only "chunked" is understood here')
  if (httpVersion === '1.0') throw new GatewayError('badRequest', 'HTTP/1.0 has no Transfer-Encoding')
}

function withLength(headers: RawPairs, status: number, length: number): string[] {
  const out: string[] = []
  for (let i = 0; i < headers.length; i += 2)
    if ((headers[i] as string).toLowerCase() !== 'content-length')
      out.push(headers[i] as string, headers[i + 1] as string)
  // These answers have no body, and so no length (RFC 9110, sections 15.3.5 and 15.4.5).
  if (status !== 204 && status !== 304) out.push('Content-Length', String(length))
  return out
}

function pairs(raw: RawPairs): [string, string][] {
  return raw.flatMap((name, i) => (i % 2 === 0 ? [[name, raw[i + 1] ?? ''] as [string, string]] : []))
}
