/**
 * A listener whose answers say what was asked, with the fast door or without it, and raw clients for it. Calls
 * under /whole are read to their end first; those under /stream are answered as they arrive.
 */
import { once } from 'node:events'
import net from 'node:net'
import { onTestFinished } from 'vitest'
import type { Call } from '../../src/core/call.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Answered } from '../../src/core/observer.ts'
import type { Answer } from '../../src/core/reply.ts'
import { createIngress } from '../../src/data/ingress/ingress.ts'
import { listen, type ServerOptions } from '../../src/data/ingress/server.ts'
import { createRouter, type Matched, type Route, type RouteCache } from '../../src/data/route/routes.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { opaque } from '../../src/protocol/opaque.ts'
import { silentObserver } from './observer.ts'

export type Serve = (call: Call, matched: Matched) => Answer | Promise<Answer>

export interface DoorServer {
  readonly port: number
  /** One entry an answer, in order. */
  readonly answered: Answered[]
  /** One entry a call that reached the answering, in order. */
  readonly calls: Call[]
  leave(): void
  drain(timeoutMs: number): Promise<void>
  close(): Promise<void>
}

export interface DoorServerOptions extends Partial<ServerOptions> {
  readonly serve?: Serve
  readonly timeoutMs?: number
  readonly maxBodyBytes?: number
}

export const CACHE: RouteCache = {
  ttl: 1000,
  jitter: 0,
  rows: 'never',
  scope: 'shared',
  vary: [],
  tags: [],
  maxEntryBytes: 1e6,
  staleWhileRevalidate: 0,
  staleIfError: 0,
  negativeTtl: 0,
  heedBackend: true,
  leases: 'never',
}

/** Says what was asked: method, path with query, and the body as it was read. */
export const echo: Serve = async (call) => {
  const body = call.body instanceof Uint8Array ? Buffer.from(call.body) : await joined(call.body)
  const said = JSON.stringify({
    method: call.method,
    target: call.path + call.query,
    body: body.toString('latin1'),
  })
  return {
    reply: { status: 200, headers: ['Content-Type', 'application/json'], body: Buffer.from(said) },
    outcome: { kind: 'none' },
  }
}

async function joined(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

/** One that is closed when the test has ended. */
export async function openDoor(options?: DoorServerOptions): Promise<DoorServer> {
  const server = await startDoor(options)
  onTestFinished(() => server.close())
  return server
}

export async function startDoor(options: DoorServerOptions = {}): Promise<DoorServer> {
  const { serve = echo, timeoutMs = 5000, maxBodyBytes = 1e6, ...server } = options
  const wheel = new Wheel(systemClock)
  const answered: Answered[] = []
  const calls: Call[] = []
  const route = (name: string, cache: RouteCache | undefined): Route => ({
    name,
    // `*` is one character or more, and the name itself is a path too.
    match: { path: `/${name.slice(0, -1)}*` },
    protocols: [opaque],
    pool: 'none',
    timeout: timeoutMs,
    pure: true,
    cache,
  })
  const settings = { route: createRouter([route('whole', CACHE), route('stream', undefined)]), maxBodyBytes }
  const ingress = createIngress({
    live: () => settings,
    answer(call, matched) {
      calls.push(call)
      return serve(call, matched)
    },
    observer: { ...silentObserver, answered: (one) => void answered.push(one) },
    log: silentLog,
    clock: systemClock,
    wheel,
    mintId: () => 'id',
  })
  const listener = await listen(
    {
      host: '127.0.0.1',
      port: 0,
      maxHeaderBytes: 16_384,
      headerTimeoutMs: 5000,
      bodyTimeoutMs: 5000,
      keepAliveTimeoutMs: 5000,
      maxConnections: 1000,
      fastDoor: true,
      wheel,
      ...server,
    },
    ingress,
  )
  return {
    port: listener.address.port,
    answered,
    calls,
    leave: () => listener.leave(),
    drain: (ms) => listener.drain(ms),
    async close() {
      await listener.drain(0)
      wheel.close()
    },
  }
}

/** A TCP client that sends exactly what it is told and keeps everything that comes back. */
export class RawClient {
  readonly socket: net.Socket
  received = ''
  /** The other side has ended or broken the connection. */
  closed = false

  private constructor(socket: net.Socket) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.received += text
    })
    socket.on('error', () => {})
    for (const event of ['end', 'close']) socket.on(event, () => (this.closed = true))
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  send(text: string | Buffer): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text)
  }

  /** The answers received so far, whole ones only. */
  get answers(): RawReply[] {
    return replies(this.received)
  }

  destroy(): void {
    this.socket.destroy()
  }
}

export interface RawReply {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** Reads answers with a length or in chunks; ends at the first that is not whole. */
export function replies(text: string, method = 'POST'): RawReply[] {
  const out: RawReply[] = []
  let rest = text
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) return out
    const [line = '', ...fields] = rest.slice(0, end).split('\r\n')
    const status = Number(line.split(' ')[1])
    const headers = new Map(
      fields.map((field) => [
        field.slice(0, field.indexOf(':')).toLowerCase(),
        field.slice(field.indexOf(':') + 1).trim(),
      ]),
    )
    rest = rest.slice(end + 4)
    if (status < 200) {
      out.push({ status, headers, body: '' })
      continue
    }
    const body = method === 'HEAD' ? { text: '', rest } : bodyOf(rest, headers)
    if (!body) return out
    out.push({ status, headers, body: body.text })
    rest = body.rest
  }
}

function bodyOf(
  text: string,
  headers: ReadonlyMap<string, string>,
): { text: string; rest: string } | undefined {
  if (headers.get('transfer-encoding') !== 'chunked') {
    const length = Number(headers.get('content-length') ?? 0)
    return text.length < length ? undefined : { text: text.slice(0, length), rest: text.slice(length) }
  }
  let body = ''
  let rest = text
  for (;;) {
    const size = /^([0-9a-f]+)\r\n/i.exec(rest)
    if (!size) return undefined
    const length = Number.parseInt(size[1] as string, 16)
    rest = rest.slice(size[0].length)
    if (length === 0) {
      const end = /^(?:[^\r\n]+\r\n)*\r\n/.exec(rest)
      return end ? { text: body, rest: rest.slice(end[0].length) } : undefined
    }
    if (rest.length < length + 2) return undefined
    body += rest.slice(0, length)
    rest = rest.slice(length + 2)
  }
}

/** A plain request with a body. */
export function post(path: string, body: string, fields: readonly string[] = []): string {
  return [`POST ${path} HTTP/1.1`, 'Host: h', `Content-Length: ${body.length}`, ...fields, '', body].join(
    '\r\n',
  )
}
