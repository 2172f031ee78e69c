/**
 * A request to the API of a cluster or an agent: one answer within a deadline, or lines as they come. Redirects are
 * not followed, since the token would go along.
 */
import type { ClientRequest, IncomingMessage } from 'node:http'
import { BufferList } from '../../lib/buffer-list.ts'
import { http, https } from '../../lib/http.ts'
import type { JsonList } from '../../lib/json-list.ts'

export interface DiscoveryRequest {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** Default GET. */
  readonly method?: string
  readonly body?: string
  /** Certificates of the authority that signs the server's, in PEM; undefined: the system's. */
  readonly ca?: string | undefined
  /** Until the whole answer is there. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Most bytes of a whole answer; default 64 MiB. */
  readonly maxBytes?: number
}

export interface DiscoveryResponse {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

const MAX_BYTES = 64 * 1024 * 1024
/** One object of a list or a watch, in bytes; the API server itself allows 1.5 MiB. */
export const MAX_OBJECT = 4 * 1024 * 1024

/** The whole answer. Rejects when it is not there in time, is too large, or the signal fires. */
export async function fetchWhole(options: DiscoveryRequest): Promise<DiscoveryResponse> {
  const { maxBytes = MAX_BYTES } = options
  const body = new BufferList()
  const head = await send(options, (bytes) => {
    body.push(bytes)
    if (body.length > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`)
  })
  return { ...head, body: textOf(body, head.status, options) }
}

/** Reads a 200 into `list` while it comes, and gives the document without its elements. Rejects as `fetchWhole`, and if it is no JSON. */
export async function fetchList(
  options: DiscoveryRequest,
  list: JsonList,
): Promise<DiscoveryResponse & { readonly document: unknown }> {
  const { maxBytes = MAX_BYTES } = options
  const body = new BufferList()
  let size = 0
  const head = await send(options, (bytes, status) => {
    size += bytes.length
    if (size > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`)
    if (status === 200) list.push(bytes)
    else body.push(bytes)
  })
  const document = head.status === 200 ? list.end() : undefined
  return { ...head, body: textOf(body, head.status, options), document }
}

/**
 * Calls `line` with each line of a 200 while it comes, and resolves when the answer ends, with the body only of
 * other statuses. Rejects as `fetchWhole`, and when `line` throws. What stands behind the last line feed is no line: the event that a
 * watch was cut in the middle of comes again with the next one, from the version that was heard last.
 */
export async function fetchLines(
  options: DiscoveryRequest,
  line: (text: string) => void,
): Promise<DiscoveryResponse> {
  const body = new BufferList()
  let rest = new BufferList()
  const head = await send(options, (bytes, code) => {
    if (code !== 200) {
      if (body.length < MAX_OBJECT) body.push(bytes)
      return
    }
    let from = 0
    for (let end = bytes.indexOf(LF); end >= 0; end = bytes.indexOf(LF, from)) {
      rest.push(bytes.subarray(from, end))
      const text = rest.joined().toString()
      rest = new BufferList()
      from = end + 1
      if (text !== '') line(text)
    }
    rest.push(bytes.subarray(from))
    if (rest.length > MAX_OBJECT) throw new Error(`a line is longer than ${MAX_OBJECT} bytes`)
  })
  return { ...head, body: textOf(body, head.status, options) }
}

/** A refusal may quote the request, and is logged: the credentials in it are blanked. */
function textOf(body: BufferList, status: number, { headers }: DiscoveryRequest): string {
  const text = body.joined().toString()
  if (status === 200) return text
  const secrets = ['authorization', 'x-consul-token'].flatMap(
    (name) => headers[name]?.split(' ').at(-1) || [],
  )
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text)
}

const LF = 10

function send(
  options: DiscoveryRequest,
  data: (bytes: Buffer, status: number) => void,
): Promise<{ status: number; headers: IncomingMessage['headers'] }> {
  return new Promise((resolve, reject) => {
    if (options.signal.aborted) return reject(new Error('stopped'))
    const fail = (error: unknown): void => {
      request.destroy()
      finish(() => reject(error instanceof Error ? error : new Error(String(error))))
    }
    const finish = (end: () => void): void => {
      clearTimeout(timer)
      options.signal.removeEventListener('abort', stop)
      end()
    }
    const stop = (): void => fail(new Error('stopped'))
    const { method = 'GET', body } = options
    const headers = {
      ...options.headers,
      ...(body === undefined ? {} : { 'content-length': `${Buffer.byteLength(body)}` }),
    }
    const requestOptions = { agent: false, method, headers, ...(options.ca ? { ca: options.ca } : {}) }
    const request: ClientRequest = options.url.startsWith('https:')
      ? https().request(options.url, requestOptions)
      : http.request(options.url, requestOptions)
    const onTimeout = () => fail(new Error(`no complete answer within ${options.timeoutMs} ms`))
    const timer = setTimeout(onTimeout, options.timeoutMs)
    options.signal.addEventListener('abort', stop)
    request.on('error', fail)
    request.on('response', (response) => {
      const status = response.statusCode ?? 0
      response.on('data', (chunk: Buffer) => {
        try {
          data(chunk, status)
        } catch (error) {
          fail(error)
        }
      })
      response.on('error', fail)
      response.on('aborted', () => fail(new Error('the answer broke off')))
      response.on('end', () => finish(() => resolve({ status, headers: response.headers })))
    })
    request.end(body)
  })
}
