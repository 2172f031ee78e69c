/**
 * Protects the admin API from web pages: a page in somebody's browser can send requests to this listener, even under a
 * host name of its own that it lets resolve to the listener's address (DNS rebinding).
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { Problem } from './problem.ts'

export interface GuardSettings {
  /**
   * Accepted host names, with a port where only that one is accepted. IP literals and `localhost` are always accepted.
   */
  readonly hosts: readonly string[]
}

export interface Guarded {
  readonly headers: IncomingHttpHeaders
  readonly writes: boolean
  readonly hasBody: boolean
  /** There are no tokens: then reads need an accepted Host as well, or a web page could read. */
  readonly unauthenticated: boolean
}

/** Throws 403 or 415 with what to change. */
export function guard({ headers, writes, hasBody, unauthenticated }: Guarded, settings: GuardSettings): void {
  if (writes || unauthenticated) checkHost(headers.host, settings)
  if (!writes) return
  checkOrigin(headers)
  if (hasBody && !/^application\/json *(;|$)/i.test(headers['content-type'] ?? '')) {
    throw new Problem(415, 'send the body with "content-type: application/json"')
  }
}

/** Throws 400 where a request does not say which host it is for, or says it twice (RFC 9112, section 3.2). */
export function checkHosts({ httpVersion, rawHeaders }: IncomingMessage): void {
  const hosts = rawHeaders.filter((name, i) => i % 2 === 0 && /^host$/i.test(name)).length
  if (hosts > 1 || (hosts === 0 && httpVersion !== '1.0'))
    throw new Problem(400, 'a request has exactly one Host field')
}

/** Throws 401 where a request has several credentials: which of them is meant could not be told (RFC 9110, section 11.6.2). */
export function checkAuthorizations({ rawHeaders }: IncomingMessage): void {
  const count = rawHeaders.filter((name, i) => i % 2 === 0 && /^authorization$/i.test(name)).length
  if (count <= 1) return
  const challenge = 'Bearer realm="infergate", error="invalid_request"'
  throw new Problem(401, 'there are several credentials: send one', {
    headers: { 'www-authenticate': challenge },
  })
}

function checkHost(host: string | undefined, settings: GuardSettings): void {
  const name = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+)(:\d{1,5})?$/.exec(host ?? '')?.[1]?.toLowerCase()
  const bare = name?.replace(/^\[|\]$/g, '') ?? ''
  if (isIP(bare) !== 0 || bare === 'localhost') return
  if (settings.hosts.some((known) => [bare, host?.toLowerCase()].includes(known.toLowerCase()))) return
  throw new Problem(
    403,
    `Host "${(host ?? '').slice(0, 256)}" is not a name of this listener: use an IP address or localhost, or add it to admin.hosts`,
  )
}

function checkOrigin(headers: IncomingHttpHeaders): void {
  const { origin } = headers
  const site = headers['sec-fetch-site']
  const isForeign = origin !== undefined && !isSameOrigin(origin, headers.host)
  if (isForeign || (site !== undefined && site !== 'same-origin' && site !== 'none')) {
    throw new Problem(403, `a page of ${(origin ?? 'another site').slice(0, 256)} may not write here`)
  }
}

function isSameOrigin(origin: string, host: string | undefined): boolean {
  const url = URL.parse(origin)
  return url !== null && /^https?:$/.test(url.protocol) && url.host.toLowerCase() === host?.toLowerCase()
}
