/**
 * The event stream of the admin API: everything the dashboard shows, pushed as it happens. A client that reads too
 * slowly is disconnected, so that no memory fills up; when it reconnects it first gets the present state.
 */
import type { ServerResponse } from 'node:http'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { encodeEvent, type ServerEvent, SSE_HEARTBEAT } from '../../lib/sse.ts'
import type { Scope } from './auth.ts'
import { Problem } from './problem.ts'

/** An event as it is written. */
export interface EncodedEvent {
  readonly text: string
  /** What a client's credentials must allow besides `read`. */
  readonly scope?: Scope
}

/** Whether the credentials of a client allow this. */
export type Allows = (scope: Scope) => boolean

export interface EventHubOptions {
  readonly clock: Clock
  readonly log: Log
  /** The events that a new client gets first. */
  readonly present: () => readonly EncodedEvent[]
  readonly maxClients?: number
  /** Most bytes buffered for one client before it is disconnected. */
  readonly maxBufferBytes?: number
  readonly heartbeatMs?: number
}

/** The fields of a stream of events. */
export const EVENTS_HEAD = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
}

export class EventHub {
  readonly #options: EventHubOptions
  readonly #clients = new Map<ServerResponse, Allows>()
  readonly #maxClients: number
  readonly #maxBufferBytes: number
  readonly #heartbeatMs: number
  #cancelBeat: (() => void) | undefined
  #id = 0

  constructor(options: EventHubOptions) {
    this.#options = options
    this.#maxClients = options.maxClients ?? 64
    this.#maxBufferBytes = options.maxBufferBytes ?? 1024 * 1024
    this.#heartbeatMs = options.heartbeatMs ?? 15_000
  }

  get size(): number {
    return this.#clients.size
  }

  /** Writes one event to every client. Does nothing where there is no client. */
  publish(event: string, data: unknown): void {
    this.#id++
    if (this.#clients.size > 0) this.#write(encodeEvent({ event, data, id: this.#id }))
  }

  /** Writes events to every client that may see them, and says whether there is any client. */
  send(events: readonly EncodedEvent[]): boolean {
    const texts = new Map<boolean, string>()
    for (const [client, allows] of events.length > 0 ? this.#clients : []) {
      const isAll = events.every(({ scope }) => scope === undefined || allows(scope))
      const text = texts.get(isAll) ?? visible(events, allows)
      // Those who may not see everything may see different things.
      if (isAll) texts.set(isAll, text)
      if (text !== '') this.#writeTo(client, text)
    }
    return this.#clients.size > 0
  }

  /** Turns a response into a stream of events, which begins with `first`. Throws 503 when there are too many. */
  attach(response: ServerResponse, allows: Allows = () => true, first: readonly ServerEvent[] = []): void {
    if (this.#clients.size >= this.#maxClients) {
      throw new Problem(503, `${this.#maxClients} clients follow the events already`, {
        headers: { 'retry-after': '5' },
      })
    }
    response.writeHead(200, EVENTS_HEAD)
    response.on('close', () => this.#clients.delete(response))
    // Only a lost connection causes this, and `close` follows it.
    response.on('error', () => {})
    this.#clients.set(response, allows)
    const begin = first.map((event) => encodeEvent(event)).join('')
    response.write(`retry: 2000\n\n${begin}${visible(this.#options.present(), allows)}`)
    this.#beat()
  }

  /** Ends every stream. */
  close(): void {
    this.#cancelBeat?.()
    this.#cancelBeat = undefined
    for (const client of this.#clients.keys()) client.end()
    this.#clients.clear()
  }

  #write(chunk: string): void {
    for (const client of this.#clients.keys()) this.#writeTo(client, chunk)
  }

  #writeTo(client: ServerResponse, chunk: string): void {
    client.write(chunk)
    if (client.writableLength <= this.#maxBufferBytes) return
    this.#options.log.warn('admin.events.slow', { waitingBytes: client.writableLength })
    this.#clients.delete(client)
    client.destroy()
  }

  #beat(): void {
    this.#cancelBeat ??= this.#options.clock.after(this.#heartbeatMs, () => {
      this.#cancelBeat = undefined
      this.#write(SSE_HEARTBEAT)
      if (this.#clients.size > 0) this.#beat()
    })
  }
}

function visible(events: readonly EncodedEvent[], allows: Allows): string {
  return events.flatMap(({ text, scope }) => (scope === undefined || allows(scope) ? text : [])).join('')
}
