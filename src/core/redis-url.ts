/** Parses the URL of a Redis server. The settings and the client both use it, so that the two accept the same URLs. */

import type { HostPort } from './addresses.ts'

export interface RedisTarget {
  readonly address: HostPort
  readonly isSecure: boolean
  readonly user: string
  readonly password: string
  readonly database: number
}

/** Error messages do not contain the URL, which may hold a password. */
export function parseRedisUrl(
  url: string,
  cluster: boolean,
): { readonly target: RedisTarget } | { readonly problem: string } {
  const parsed = URL.parse(url)
  if (!parsed || !/^rediss?:$/.test(parsed.protocol) || parsed.hostname === '')
    return { problem: 'url must begin with redis:// or rediss:// and name a host' }
  if (!/^\/?\d{0,5}$/.test(parsed.pathname) || parsed.search !== '' || parsed.hash !== '')
    return { problem: 'url may end with /NUMBER, the database, and with nothing else' }
  const database = Number(parsed.pathname.replace('/', ''))
  if (cluster && database !== 0)
    return { problem: `a cluster has database 0 only; take /${database} out of the url` }
  const [user, password] = [decoded(parsed.username), decoded(parsed.password)]
  if (user === undefined || password === undefined)
    return { problem: 'a % in the user or the password of the url is written %25' }
  const port = parsed.port === '' ? 6379 : Number(parsed.port)
  const address = { host: parsed.hostname.replace(/^\[|\]$/g, ''), port }
  return { target: { address, isSecure: parsed.protocol === 'rediss:', user, password, database } }
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
