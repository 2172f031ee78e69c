/**
 * The exchange of a request to change to WebSocket (RFC 6455, section 4.2; RFC 9110, section 7.8). node:http reads nothing behind
 * it. An answer of 101 leaves the connection to the two sides, as the bodies of a call that stream both ways; any other
 * answer is one as always, and the last on the connection.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { isFieldName, isFieldValue } from '../../core/field-syntax.ts'
import { headEnd } from '../exchange/reply-head.ts'
import { NodeExchange, type NodeMessages } from './node-exchange.ts'

/** Whether the request asks for a WebSocket and for nothing else, in the only form that has one meaning. */
export function asksForWebSocket({ method, httpVersion, headers, rawHeaders }: IncomingMessage): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  return (
    method === 'GET' &&
    httpVersion === '1.1' &&
    !hasBody &&
    /^websocket$/i.test(headers.upgrade ?? '') &&
    /(?:^|,)\s*upgrade\s*(?:,|$)/i.test(headers.connection ?? '') &&
    /^[A-Za-z0-9+/]{22}==$/.test(headers['sec-websocket-key'] ?? '') &&
    headers['sec-websocket-version'] === '13' &&
    isOnce(rawHeaders, 'upgrade') &&
    isOnce(rawHeaders, 'sec-websocket-key')
  )
}

function isOnce(rawHeaders: RawPairs, name: string): boolean {
  return rawHeaders.filter((text, i) => i % 2 === 0 && text.toLowerCase() === name).length === 1
}

export class UpgradeExchange extends NodeExchange {
  readonly isUpgrade = true
  readonly #socket: Duplex
  readonly #response: ServerResponse
  readonly #close: () => void
  readonly #accepted = Promise.withResolvers<void>()
  #isOpen = false

  /** `close` ends the connection, and reads for a while what the client still sends. */
  constructor(messages: NodeMessages, socket: Duplex, close: () => void) {
    super(messages)
    this.#socket = socket
    this.#close = close
    this.#response = messages.response
    // node:http passes them on no more.
    socket.on('drain', () => this.#response.emit('drain'))
    socket.once('close', () => {
      this.#accepted.resolve()
      if (!socket.writableFinished || !this.#response.writableFinished) this.onAbort?.()
    })
  }

  override get status(): number {
    return this.#isOpen ? 101 : super.status
  }

  /** What the client sends once the connection has changed. */
  override async *stream(): AsyncGenerator<Uint8Array> {
    await this.#accepted.promise
    if (!this.#isOpen) return
    const pieces = this.#socket.iterator({ destroyOnReturn: false })
    for await (const piece of pieces as AsyncIterable<Uint8Array>) yield piece
  }

  override begin(status: number, headers: RawPairs): void {
    if (status !== 101) return super.begin(status, headers)
    let head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
    for (let i = 0; i < headers.length; i += 2) {
      const [name = '', value = ''] = [headers[i], headers[i + 1]]
      if (!isFieldName(name) || !isFieldValue(value))
        throw new GatewayError('backendGarbled', `the answer has a broken field ${JSON.stringify(name)}`)
      // 101 has no content.
      if (!/^content-length$/i.test(name)) head += `${name}: ${value}\r\n`
    }
    this.#isOpen = true
    this.#socket.write(head + headEnd(this.requestId), 'latin1')
    this.#accepted.resolve()
  }

  override write(chunk: Uint8Array): boolean {
    return this.#isOpen ? this.#socket.write(chunk) : super.write(chunk)
  }

  override drained(): Promise<void> {
    if (!this.#isOpen) return super.drained()
    const socket = this.#socket
    return new Promise((resolve) => {
      const done = () => {
        socket.off('drain', done).off('close', done)
        resolve()
      }
      socket.on('drain', done).on('close', done)
    })
  }

  override end(trailers: RawPairs): void {
    if (this.#isOpen) this.#close()
    else super.end(trailers)
  }

  override cut(): void {
    this.#socket.destroy()
  }
}
