/** One HTTP request with exactly the headers given: fetch would refuse to set Host or Origin. */
import { type Agent, type IncomingHttpHeaders, request } from 'node:http'
import { later } from './later.ts'

export interface RawAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The body as JSON; undefined when it is not. */
  readonly json: unknown
}

export interface RawCall {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** A string goes as it is; anything else as JSON with its content type. */
  readonly body?: unknown
  /** Keeps connections; by default each call has one of its own. */
  readonly agent?: Agent
}

export function call(port: number, path: string, options: RawCall = {}): Promise<RawAnswer> {
  const { method = 'GET', headers = {}, body, agent = false } = options
  const isText = typeof body === 'string'
  const payload = body === undefined || isText ? body : JSON.stringify(body)
  const type = body === undefined || isText ? {} : { 'content-type': 'application/json' }
  const answer = new Promise<RawAnswer>((resolve, reject) => {
    const sent = request({
      host: '127.0.0.1',
      port,
      path,
      method,
      agent,
      headers: { ...type, ...headers },
    })
    sent.on('error', reject)
    sent.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('error', reject)
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: parsed(text) })
      })
    })
    sent.end(payload)
  })
  return later(answer)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
