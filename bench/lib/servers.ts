/**
 * The servers that are measured: the gateway, and its peers from Debian, each configured as well as it can be for
 * the work. All run on one core; the backend they stand in front of shares the other with the load.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Place } from './place.ts'
import { freePort, listening, type Pinned } from './process.ts'
import { listeners } from './procfs.ts'
import { HAPROXY, haproxy } from './servers/haproxy.ts'
import { startInfergate, type Variant } from './servers/infergate.ts'
import { LUA_MODULE, NGINX, nginxCache, nginxLua, nginxPass } from './servers/nginx.ts'
import { VMODS, varnish } from './servers/varnish.ts'

export type ServerName = keyof typeof SERVERS | 'direct'

export const TARGET = '/v1/models/bench:predict'

export interface Server {
  readonly url: string
  /** The first is the server; what is beside it has a core of its own. None: the backend itself. */
  readonly processes: readonly Pinned[]
}

interface Part {
  /** Debian's package, and one of these files is there when it is installed. */
  readonly package: string
  readonly files: readonly string[]
}

interface Kind {
  readonly needs: readonly Part[]
  readonly scheme?: 'https'
  start(place: Place): Promise<Pinned[]>
}

const program = (name: string): string[] =>
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .concat('/usr/sbin')
    .map((folder) => join(folder, name))

export const WRK: Part = { package: 'wrk', files: program('wrk') }
const NGINX_PART: Part = { package: 'nginx', files: [NGINX] }
const LUA_PART: Part = { package: 'libnginx-mod-http-lua', files: [LUA_MODULE] }
const REDIS: Part = { package: 'redis-server', files: program('redis-server') }
const VARNISH: readonly Part[] = [
  { package: 'varnish', files: program('varnishd') },
  { package: 'varnish-modules', files: VMODS },
]

const infergate = (variant: Partial<Variant> = {}): Kind => ({
  needs: variant.tier === 'redis' ? [REDIS] : [],
  ...(variant.tls ? { scheme: 'https' as const } : {}),
  start: (place) =>
    startInfergate(place, { tier: 'memory', workers: 1, tls: false, tenants: undefined, ...variant }),
})

const SERVERS = {
  infergate: infergate(),
  'infergate, no cache': infergate({ tier: 'none' }),
  'infergate, Redis only': infergate({ tier: 'redis' }),
  'infergate, 2 workers': infergate({ workers: 2 }),
  'infergate, TLS': infergate({ tls: true }),
  'infergate, 10 tenants': infergate({ tenants: 10 }),
  'infergate, 10,000 tenants': infergate({ tenants: 10_000 }),
  'nginx proxy_cache, TLS': {
    needs: [NGINX_PART],
    scheme: 'https',
    start: async (place) => [nginxCache(place, { tls: true })],
  },
  'infergate, jsonl': infergate({ log: 'jsonl' }),
  'infergate, tfrecord': infergate({ log: 'tfrecord' }),
  'nginx proxy_cache': { needs: [NGINX_PART], start: async (place) => [nginxCache(place)] },
  'nginx lua': { needs: [NGINX_PART, LUA_PART], start: async (place) => [nginxLua(place)] },
  'nginx proxy_pass': { needs: [NGINX_PART], start: async (place) => [nginxPass(place)] },
  varnish: { needs: VARNISH, start: async (place) => [varnish(place)] },
  haproxy: { needs: [{ package: 'haproxy', files: [HAPROXY] }], start: async (place) => [haproxy(place)] },
} as const satisfies Record<string, Kind>

const isThere = ({ files }: Part): boolean => files.some((file) => existsSync(file))

/** The Debian packages that a server needs and this machine does not have. */
export function missing(name: ServerName): string[] {
  const needs: readonly Part[] = name === 'direct' ? [] : SERVERS[name].needs
  return needs.filter((part) => !isThere(part)).map((part) => part.package)
}

/** The same for the harness: its load, and the backend that answers at once. */
export function missingTools(): string[] {
  return [WRK, NGINX_PART].filter((part) => !isThere(part)).map((part) => part.package)
}

const SECOND_LISTENER_MS = 10_000

/** The second worker opens its listener after the first. */
async function secondListener(port: number): Promise<void> {
  const deadline = performance.now() + SECOND_LISTENER_MS
  while (listeners(port) < 2) {
    if (performance.now() > deadline) throw new Error('one listener where two are asked for')
    await sleep(50)
  }
}

/** Starts it and waits until it accepts connections. */
export async function startServer(name: ServerName, given: Omit<Place, 'port'>): Promise<Server> {
  if (name === 'direct') return { url: urlOf(given.backendPort), processes: [] }
  const { scheme, start }: Kind = SERVERS[name]
  const port = await freePort()
  const folder = join(given.folder, name.replaceAll(/\W+/g, '-'))
  mkdirSync(folder, { recursive: true })
  const processes = await start({ ...given, folder, port })
  await listening(port, processes[0])
  if (name === 'infergate, 2 workers') await secondListener(port)
  return { url: urlOf(port, scheme), processes }
}

const urlOf = (port: number, scheme = 'http'): string => `${scheme}://127.0.0.1:${port}${TARGET}`
