/** A transfer: one request of the plain client, from the wait for a connection to the end of the answer. */
import type { RawPairs } from '../../core/call.ts'
import { isFieldName, isFieldValue, isRequestTarget } from '../../core/field-syntax.ts'
import { SHOWN_REQUEST_ID } from '../../core/request-id.ts'
import type { BackendResponse } from './exchange.ts'
import type { Incoming } from './incoming.ts'
import { PendingExchange, unsendable } from './pending-exchange.ts'
import type { ReplyHead } from './reply-head.ts'
import type { ReplySink } from './reply-reader.ts'

/** The connection on which a transfer is sent. */
export interface Carrier {
  pause(): void
  resume(): void
  destroy(): void
}

// Fields that are made here, from what is really sent.
const FRAMING = new Set(['host', 'content-length', 'transfer-encoding', 'connection', 'expect'])

export class Transfer extends PendingExchange implements ReplySink {
  connection: Carrier | undefined
  #whole: BackendResponse['reply'] | undefined
  #body: Incoming | undefined

  get method(): string {
    return this.request.method
  }

  get body(): Uint8Array | undefined {
    return this.request.body as Uint8Array | undefined
  }

  /** The head of the request as text. Throws `badRequest` where HTTP does not allow a character in it. */
  requestHead(authority: string): string {
    const { method } = this.request
    const { headers } = this
    const path = this.prefix + this.request.target
    const to = { method, path, authority: this.request.host ?? authority }
    const known = WRITTEN.get(headers)
    let text = known && isSame(known.to, to) ? known.text : headText(to, headers)
    if (text !== known?.text) WRITTEN.set(headers, { to, text })
    const { body } = this
    if (body) text += `Content-Length: ${body.length}\r\n`
    // Without it, some servers wait for a body that these methods usually have (RFC 9110, section 8.6).
    else if (method === 'POST' || method === 'PUT' || method === 'PATCH') text += 'Content-Length: 0\r\n'
    const { requestId } = this.request
    return requestId === undefined ? `${text}\r\n` : `${text}${SHOWN_REQUEST_ID}: ${requestId}\r\n\r\n`
  }

  /** A connection takes the request. */
  sent(): void {
    this.request.sent?.()
  }

  whole({ status, headers, notes }: ReplyHead, body: Uint8Array): void {
    this.stop()
    this.#whole = { status, headers, body, notes }
  }

  /** To be called when the connection is free again: the listener of a whole answer may need one. */
  deliver(now: number): void {
    if (this.#whole) this.settle({ reply: this.#whole, over: undefined, at: now })
  }

  head(head: ReplyHead): Incoming {
    this.#body = this.respond(head)
    return this.#body
  }

  end(trailers: RawPairs): void {
    this.#body?.end(trailers)
  }

  protected get isSent(): boolean {
    return this.connection !== undefined
  }

  protected hold(): void {
    this.connection?.pause()
  }

  protected proceed(): void {
    this.connection?.resume()
  }

  protected cut(): void {
    this.connection?.destroy()
  }
}

interface RequestTo {
  readonly method: string
  readonly path: string
  readonly authority: string
}

/** The head last made from a list of fields: a client that sends the same list again needs no new check of it. */
const WRITTEN = new WeakMap<RawPairs, { readonly to: RequestTo; readonly text: string }>()

function isSame(a: RequestTo, b: RequestTo): boolean {
  return a.method === b.method && a.path === b.path && a.authority === b.authority
}

/** Request line, Host, and all fields but those of framing. */
function headText({ method, path, authority }: RequestTo, headers: RawPairs): string {
  if (!isFieldName(method) || !isRequestTarget(path) || !isFieldValue(authority))
    throw unsendable('its method, target or host')
  let text = `${method} ${path} HTTP/1.1\r\nHost: ${authority}\r\n`
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const value = headers[i + 1] as string
    if (!isFieldName(name) || !isFieldValue(value)) throw unsendable(`its field ${JSON.stringify(name)}`)
    if (name.length < 18 && FRAMING.has(name.toLowerCase())) continue
    text += `${name}: ${value}\r\n`
  }
  return text
}
