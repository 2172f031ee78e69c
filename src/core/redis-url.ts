/** Parses the URL of a Redis server. The settings and the client both use it, so that the two accept the same URLs. */

import type { SocketAddress } from './addresses.ts'

/** `sentinel`: the host of the URL is the name under which Redis Sentinels know the primary. */
export type RedisTopology = 'single' | 'cluster' | 'sentinel'

export interface RedisTarget {
  readonly address: SocketAddress
  readonly isSecure: boolean
  readonly user: string
  readonly password: string
  readonly database: number
}

type ParsedUrl = { readonly target: RedisTarget } | { readonly problem: string }

const DEFAULT_PORT = 6379

/** Error messages do not contain the URL, which may hold a password. */
export function parseRedisUrl(text: string, topology: RedisTopology): ParsedUrl {
  const url = URL.parse(text)
  const [user, password] = [decoded(url?.username ?? ''), decoded(url?.password ?? '')]
  if (user === undefined || password === undefined)
    return { problem: 'a % in the user or the password of the url is written %25' }
  const place = url?.protocol === 'unix:' ? socketOf(url, topology) : hostOf(url, topology)
  if ('problem' in place) return place
  const { address, database } = place
  if (topology === 'cluster' && database !== 0)
    return { problem: `a cluster has database 0 only; take /${database} out of the url` }
  return { target: { address, isSecure: url?.protocol === 'rediss:', user, password, database } }
}

type Place = { readonly address: SocketAddress; readonly database: number } | { readonly problem: string }

function hostOf(url: URL | null, topology: RedisTopology): Place {
  if (!url || !/^rediss?:$/.test(url.protocol) || url.hostname === '')
    return { problem: 'url must begin with redis:// or rediss:// and name a host' }
  if (!/^\/?\d{0,5}$/.test(url.pathname) || url.search !== '' || url.hash !== '')
    return { problem: 'url may end with /NUMBER, the database, and with nothing else' }
  if (topology === 'sentinel' && url.port !== '')
    return {
      problem:
        'with "sentinel" the url has no port: its host is the name that the sentinels have for the primary, as in redis://mymaster',
    }
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port)
  const address = { host: url.hostname.replace(/^\[|\]$/g, ''), port }
  return { address, database: Number(url.pathname.replace('/', '')) }
}

/** `unix:///run/redis.sock?db=2`; a user and a password stand before a host, which is this one. */
function socketOf(url: URL, topology: RedisTopology): Place {
  if (topology !== 'single')
    return { problem: `a Unix socket leads to one server; take "${topology}" out, or name a host in the url` }
  const path = decoded(url.pathname)
  const database = /^(?:|\?db=(\d{1,5}))$/.exec(url.search)
  const isHere = url.hostname === '' || url.hostname === 'localhost'
  if (!isHere || path === undefined || path.length < 2 || !database || url.hash !== '')
    return { problem: 'write the path of a socket as unix:///run/redis.sock, or unix:///run/redis.sock?db=2' }
  return { address: { path }, database: Number(database[1] ?? 0) }
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
