/**
 * Asks one backend for what it has ready, such as the list of its models. This is no call: it takes no place, is not repeated and
 * counts for nothing.
 */
import type { Backend } from '../../core/backend.ts'
import type { RawPairs } from '../../core/call.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Clients } from '../backend/clients.ts'
import { collected, letGo } from '../backend/incoming.ts'

export interface BackendQuestion {
  /** Path with query. */
  readonly target: string
  readonly headers: RawPairs
  /** For the Host field; undefined: the host of the URL. */
  readonly host: string | undefined
  /** The longest that is waited for all of the answer. */
  readonly timeoutMs: number
  readonly maxBytes: number
}

/** The body of a 200; undefined: the backend gave none in time, or one that is too long. */
export type AskBackend = (backend: Backend, question: BackendQuestion) => Promise<Uint8Array | undefined>

export function createAskBackend(clients: Clients, clock: Pick<Clock, 'after'>): AskBackend {
  return async ({ url }, { timeoutMs, maxBytes, ...question }) => {
    if (url === undefined) return undefined
    const late = new AbortController()
    const cancel = clock.after(timeoutMs, () => late.abort(new Error('the backend took too long')))
    try {
      const { reply } = await clients.send({
        ...question,
        url,
        method: 'GET',
        body: undefined,
        contentLength: undefined,
        signal: late.signal,
        headTimeoutMs: timeoutMs,
      })
      const { complete, bytes } = await collected(reply.body, maxBytes)
      if (!complete) letGo(reply.body)
      return complete && reply.status === 200 ? bytes : undefined
    } catch {
      return undefined
    } finally {
      cancel()
    }
  }
}
