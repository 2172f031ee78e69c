/**
 * Settings without a YAML: `infergate serve --upstream URL`. One pool, one route that takes every call, rows
 * cached where the dialect allows it.
 */
import { resolve } from './resolve.ts'
import type { Settings, SettingsInput } from './schema.ts'

export interface UpstreamOptions {
  /** Base URLs of the model servers; at least one. */
  readonly upstreams: readonly string[]
  /** `host:port` of the data listener. */
  readonly listen?: string
  /** `host:port` of the admin listener. */
  readonly admin?: string
  /** As `routes[].timeout` and `routes[].idleTimeout`. */
  readonly timeout?: string
  readonly idleTimeout?: string
}

export type UpstreamResult = { readonly settings: Settings } | { readonly errors: readonly string[] }

/** The settings, or what is wrong with the options, a sentence each. */
export function upstreamSettings({ upstreams, listen, admin, ...times }: UpstreamOptions): UpstreamResult {
  if (upstreams.length === 0) return { errors: ['--upstream needs a URL, such as http://127.0.0.1:8501'] }
  const input: SettingsInput = {
    ...(listen === undefined ? {} : { server: { listen } }),
    ...(admin === undefined ? {} : { admin: { listen: admin } }),
    pools: { upstream: { backends: upstreams.map((url) => ({ url })) } },
    routes: [
      {
        name: 'upstream',
        pool: 'upstream',
        protocol: 'auto',
        cache: { enabled: true, rows: 'auto' },
        ...times,
      },
    ],
  }
  const resolved = resolve(input, process.cwd())
  if ('settings' in resolved) return resolved
  return {
    errors: resolved.issues.map(
      ({ path, message, fix }) => `${option(path)}: ${message}${fix ? ` (${fix})` : ''}`,
    ),
  }
}

function option(path: readonly PropertyKey[]): string {
  if (path[0] === 'server') return '--listen'
  if (path[2] === 'timeout') return '--timeout'
  if (path[2] === 'idleTimeout') return '--idle-timeout'
  return path[0] === 'admin' ? '--admin' : '--upstream'
}
