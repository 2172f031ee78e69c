/** One HTTP request with exactly the header fields given, and all of its answer. */
import { type Agent, request } from 'node:http'

export interface Ask {
  /** POST where there is a body, else GET. */
  readonly method?: string
  readonly path: string
  readonly fields?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

export interface Answer {
  readonly status: number
  /** By lower-case name; repeated ones joined. */
  readonly fields: Readonly<Record<string, string>>
  readonly body: Buffer
}

const DEADLINE_MS = 60_000

/**
 * On a connection of its own, or on one that `agent` keeps. Rejects when the connection fails or the answer is not whole
 * within a minute.
 */
export function ask(base: string, { method, path, fields = {}, body }: Ask, agent?: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(new URL(base), {
      path,
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      agent: agent ?? false,
      headers: {
        ...(agent ? {} : { connection: 'close' }),
        ...fields,
        ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
      },
      signal: AbortSignal.timeout(DEADLINE_MS),
    })
    sent.on('error', reject)
    sent.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const headers = Object.entries(response.headersDistinct)
        resolve({
          status: response.statusCode ?? 0,
          fields: Object.fromEntries(headers.map(([name, values]) => [name, (values ?? []).join(', ')])),
          body: Buffer.concat(chunks),
        })
      })
    })
    sent.end(body)
  })
}

/** True when something answers 200 there. */
export async function answers(base: string, path: string): Promise<boolean> {
  return (await ask(base, { path })).status === 200
}

/** What the gateway says it did: `hit`, or the reason why it went to a backend. */
export const cacheStatus = ({ fields }: Answer): string => fields['cache-status'] ?? ''

export const isHit = (answer: Answer): boolean => cacheStatus(answer).startsWith('infergate; hit')
