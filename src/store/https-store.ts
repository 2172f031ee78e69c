/**
 * A model file at an https:// URL. It is asked for under a condition (RFC 9110, section 13), so that an unchanged file
 * costs a 304. A server that gives neither ETag nor Last-Modified is asked once. Redirects lead to the same host or to
 * hosts that the settings name, never from TLS to plain http.
 */

import type { HostSet } from '../core/host-set.ts'
import { StoreError } from './error.ts'
import type { StoreHttp, StoreResponse } from './http.ts'
import { type Download, type ModelStore, SINGLE_VERSION, type StoredVersion } from './model-store.ts'

export interface HttpsStoreOptions {
  readonly http: StoreHttp
  readonly url: string
  /** Hosts that redirects may lead to, besides the one that redirects. */
  readonly redirects: HostSet
  readonly timeoutMs: number
}

const MAX_REDIRECTS = 5
const REDIRECTS = new Set([301, 302, 303, 307, 308])
/** The mark of a file whose server gives none. */
const UNMARKED = 'unmarked'

export class HttpsStore implements ModelStore {
  readonly #options: HttpsStoreOptions

  constructor(options: HttpsStoreOptions) {
    this.#options = options
  }

  async versions(known: ReadonlyMap<string, string>, signal: AbortSignal): Promise<StoredVersion[]> {
    const version = SINGLE_VERSION
    const mark = known.get(version)
    if (mark === UNMARKED) return [{ version, mark }]
    const answer = await this.#get(conditionOf(mark), signal)
    // The body is asked for again when it is wanted: this was about the fields.
    answer.close()
    if (answer.status === 304 && mark !== undefined) return [{ version, mark }]
    if (answer.status === 404 || answer.status === 410) return []
    this.#check(answer)
    return [{ version, mark: markOf(answer) }]
  }

  async open({ mark }: StoredVersion, signal: AbortSignal): Promise<Download> {
    const answer = await this.#get({}, signal)
    try {
      this.#check(answer)
      if (markOf(answer) !== mark) throw new StoreError('incomplete', `${this.#options.url} has changed`)
    } catch (error) {
      answer.close()
      throw error
    }
    const length = answer.header('content-length')
    return {
      body: answer.body,
      length: length === undefined ? undefined : Number(length),
      sha256: sha256Of(answer),
      confirm: () => Promise.resolve(),
      close: () => answer.close(),
    }
  }

  close(): Promise<void> {
    return this.#options.http.close()
  }

  /** Throws a StoreError unless the answer is the file itself. */
  #check(answer: StoreResponse): void {
    const { url } = this.#options
    const { status } = answer
    if (status >= 500 || status === 429) throw new StoreError('unreachable', `${url}: status ${status}`)
    if (status === 401 || status === 403) throw new StoreError('denied', `${url}: status ${status}`)
    if (status !== 200) throw new StoreError('invalid', `${url}: status ${status}`)
    const content = answer.header('content-encoding') ?? 'identity'
    const transfer = answer.header('transfer-encoding')?.toLowerCase() ?? 'chunked'
    if (content !== 'identity' || transfer !== 'chunked')
      throw new StoreError('invalid', `${url}: a coding that was not asked for`)
  }

  async #get(condition: Readonly<Record<string, string>>, signal: AbortSignal): Promise<StoreResponse> {
    const { http, timeoutMs, url } = this.#options
    let at = new URL(url)
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const answer = await http.send({
        method: 'GET',
        origin: at.origin,
        target: at.pathname + at.search,
        headers: { 'accept-encoding': 'identity', ...condition },
        timeoutMs,
        signal,
        what: `GET of ${at.origin}${at.pathname}`,
      })
      if (!REDIRECTS.has(answer.status)) return answer
      answer.close()
      at = this.#next(at, answer.header('location'))
    }
    throw new StoreError('invalid', `${url}: more than ${MAX_REDIRECTS} redirects`)
  }

  /** Where a redirect leads. Throws where it may not. */
  #next(from: URL, location: string | undefined): URL {
    const to = location === undefined ? null : URL.parse(location, from)
    const { url, redirects } = this.#options
    if (!to || !/^https?:$/.test(to.protocol) || to.username !== '' || to.password !== '')
      throw new StoreError('invalid', `${url}: a redirect to what is no plain URL`)
    if (from.protocol === 'https:' && to.protocol !== 'https:')
      throw new StoreError('invalid', `${url}: a redirect from TLS to plain http`)
    if (to.hostname !== from.hostname && !redirects.has(to.hostname)) {
      const where = `${to.hostname}, which is not in stores.https.redirects`
      throw new StoreError('invalid', `${url}: a redirect to ${where}`)
    }
    return to
  }
}

function markOf(answer: StoreResponse): string {
  const etag = answer.header('etag')
  if (etag !== undefined) return `etag ${etag}`
  const modified = answer.header('last-modified')
  return modified === undefined ? UNMARKED : `modified ${modified}`
}

function conditionOf(mark: string | undefined): Record<string, string> {
  if (mark?.startsWith('etag ')) return { 'if-none-match': mark.slice('etag '.length) }
  if (mark?.startsWith('modified ')) return { 'if-modified-since': mark.slice('modified '.length) }
  return {}
}

/** Of `Repr-Digest` (RFC 9530). */
function sha256Of(answer: StoreResponse): string | undefined {
  const [, base64] =
    /(?:^|[\s,])sha-256=:([A-Za-z0-9+/]{43}=):/.exec(answer.header('repr-digest') ?? '') ?? []
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString('hex')
}
