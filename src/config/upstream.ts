/**
 * Settings without a YAML: `infergate serve --upstream URL`. One pool, one route that takes every call, rows
 * cached where the dialect allows it.
 */
import { type BackendAddresses, mainAddress } from '../core/backend.ts'
import { resolve } from './resolve.ts'
import type { Settings, SettingsInput } from './schema.ts'

export interface UpstreamOptions {
  /** Base URLs of the model servers, at least one; `grpc://` and `grpcs://` where they take gRPC. */
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
    pools: { upstream: { backends: backendsOf(upstreams) } },
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

type AddressInput = { readonly [M in keyof BackendAddresses]: NonNullable<BackendAddresses[M]> }

/** The two addresses of one host are those of one server, where it has no more of either. */
function backendsOf(upstreams: readonly string[]): AddressInput[] {
  const all = upstreams.map((text): AddressInput => {
    const [, secure, rest] = /^grpc(s?):\/\/(.*)$/is.exec(text) ?? []
    return rest === undefined ? { url: text } : { grpc: `http${secure?.toLowerCase()}://${rest}` }
  })
  const isOf = (host: string, kind: keyof AddressInput) => (other: AddressInput) =>
    hostOf(other[kind]) === host
  const partner = (one: AddressInput, kind: keyof AddressInput): AddressInput | undefined => {
    const host = hostOf(mainAddress(one))
    if (host === undefined) return undefined
    const [urls, grpcs] = [all.filter(isOf(host, 'url')), all.filter(isOf(host, 'grpc'))]
    return urls.length === 1 && grpcs.length === 1 ? (kind === 'url' ? urls : grpcs)[0] : undefined
  }
  return all.flatMap((one) => {
    if (one.url !== undefined) return { ...one, ...partner(one, 'grpc') }
    return partner(one, 'url') ? [] : one
  })
}

function hostOf(url: string | undefined): string | undefined {
  return url === undefined ? undefined : URL.parse(url)?.hostname
}

function option(path: readonly PropertyKey[]): string {
  if (path[0] === 'server') return '--listen'
  if (path[2] === 'timeout') return '--timeout'
  if (path[2] === 'idleTimeout') return '--idle-timeout'
  return path[0] === 'admin' ? '--admin' : '--upstream'
}
