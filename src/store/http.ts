/**
 * The HTTP client of the stores, over undici: one request, no redirect followed, addresses checked at every connect,
 * a deadline on every wait. The target is sent as it is written, since a DataNode's URL must not be changed.
 */
import { isIP } from 'node:net'
import { Agent, buildConnector, type Dispatcher } from 'undici'
import { allowedLookup } from '../core/allowed-lookup.ts'
import { readOverContinue } from '../core/interim.ts'
import { StoreError } from './error.ts'

/** What undici sends as it is, or in chunks as it comes. */
export type StoreBody = Uint8Array | AsyncIterable<Uint8Array>

export interface StoreRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
  /** `http(s)://host[:port]`. */
  readonly origin: string
  /** Path and query. */
  readonly target: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: StoreBody
  /** Until the head of the answer has come, once the request was sent; and the longest silence in its body. */
  readonly timeoutMs: number
  /** Ends the exchange at any time, in the body too. */
  readonly signal: AbortSignal
  /** What it is for, in messages: `LISTSTATUS of /models at nn1:9870`. */
  readonly what: string
}

export interface StoreResponse {
  readonly status: number
  /** A field that came more than once is joined with commas; undefined where it did not come. */
  readonly header: (name: string) => string | undefined
  /** To be read or closed. Its errors are StoreErrors. */
  readonly body: AsyncIterable<Uint8Array>
  /** Closes the connection unless the body has been read; whoever reads it gets the error. */
  readonly close: (error?: StoreError) => void
}

export interface StoreHttpOptions {
  /** Why this resolved address is refused, or undefined when it may be connected to. */
  readonly refuse: (address: string, port: number) => string | undefined
  readonly connectTimeoutMs: number
}

const MAX_HEAD_BYTES = 32 * 1024
const MAX_CONNECTIONS = 8
/** Interim answers (1xx) to one request: behind each of them a server may take the whole time for the head again. */
const MAX_INTERIM = 16

export class StoreHttp {
  readonly #agent: Agent
  readonly #refuse: StoreHttpOptions['refuse']

  constructor({ refuse, connectTimeoutMs }: StoreHttpOptions) {
    this.#refuse = refuse
    this.#agent = new Agent({
      connections: MAX_CONNECTIONS,
      pipelining: 1,
      maxHeaderSize: MAX_HEAD_BYTES,
      connect: (to, connected) => {
        const port = Number(to.port) || (to.protocol === 'https:' ? 443 : 80)
        const lookup = allowedLookup({ refuse, port, forbidden })
        // Its own for each connect, since the port decides whether an address is a listener of ours.
        buildConnector({ timeout: connectTimeoutMs, lookup, allowH2: false })(to, (...[error, socket]) => {
          if (error) return connected(error, null)
          // A DataNode sends 100 before it takes a file, whether it was asked to or not.
          readOverContinue(socket)
          connected(null, socket)
        })
      },
    })
  }

  /** Resolves with the head of the answer, of any status. Rejects with a StoreError. */
  async send(request: StoreRequest): Promise<StoreResponse> {
    const { method, origin, target, headers = {}, body, timeoutMs, signal, what } = request
    this.#checkLiteral(origin)
    const cut = new AbortController()
    let interim = 0
    const onInfo = () => {
      if (++interim <= MAX_INTERIM) return
      cut.abort(new StoreError('unreachable', `${what}: more than ${MAX_INTERIM} interim answers`))
    }
    try {
      const answer = await this.#agent.request({
        method,
        origin,
        path: target,
        headers,
        // undici reads any async iterable; its types name only a few of them.
        body: (body ?? null) as Uint8Array | null,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        signal: AbortSignal.any([signal, cut.signal]),
        onInfo,
      })
      // A body that nobody reads may fail, which is of no interest to anybody.
      answer.body.on('error', () => {})
      return {
        status: answer.statusCode,
        header: (name) => joined(answer.headers[name]),
        body: read(answer.body, what),
        close: (reason) => answer.body.destroy(reason),
      }
    } catch (error) {
      throw translate(error, what)
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  /** An address that is written as a literal is never resolved, so it is checked here. */
  #checkLiteral(origin: string): void {
    const { hostname, port, protocol } = new URL(origin)
    const host = hostname.replace(/^\[|\]$/g, '')
    if (isIP(host) === 0) return
    const refusal = this.#refuse(host, Number(port) || (protocol === 'https:' ? 443 : 80))
    if (refusal !== undefined) throw forbidden(`${host} is ${refusal}`)
  }
}

export interface ReadBounds {
  readonly maxBytes: number
  /** Until the whole body is there. */
  readonly timeoutMs: number
  readonly what: string
}

/** The whole body. Rejects with a StoreError, also where it is too long or late. */
export async function readWhole(
  response: StoreResponse,
  { maxBytes, timeoutMs, what }: ReadBounds,
): Promise<Buffer> {
  const late = new StoreError('unreachable', `${what}: no complete answer within ${timeoutMs} ms`)
  const timer = setTimeout(() => response.close(late), timeoutMs)
  const parts: Uint8Array[] = []
  let length = 0
  try {
    for await (const part of response.body) {
      length += part.length
      if (length > maxBytes)
        throw new StoreError('tooLarge', `${what}: the answer is longer than ${maxBytes} bytes`)
      parts.push(part)
    }
    return Buffer.concat(parts, length)
  } finally {
    clearTimeout(timer)
    response.close()
  }
}

function forbidden(why: string): StoreError {
  return new StoreError('invalid', `${why}, to which stores do not connect (stores.allowAddresses)`, {
    unsent: true,
  })
}

function joined(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value
}

async function* read(body: Dispatcher.ResponseData['body'], what: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const part of body) yield part as Uint8Array
  } catch (error) {
    throw translate(error, what)
  }
}

/** Errors before the first byte of the request has gone out. */
const UNSENT = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** undici's messages and codes say nothing of the query. */
function translate(error: unknown, what: string): StoreError {
  if (error instanceof StoreError) return error
  const cause = error instanceof Error ? error : new Error(String(error))
  if (cause.cause instanceof StoreError) return cause.cause
  const code = 'code' in cause ? String(cause.code) : ''
  const unsent = UNSENT.has(code) || cause instanceof AggregateError
  const reason = cause.name === 'TimeoutError' ? 'no complete answer in time' : cause.message || code
  return new StoreError('unreachable', `${what}: ${reason}`, { cause, unsent })
}
