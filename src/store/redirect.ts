/**
 * The one redirect of WebHDFS: the NameNode names a DataNode, to which the same operation on the same path is sent.
 * Whoever answers for the NameNode chooses where the gateway connects, so the URL is read strictly: a form that parsers
 * may read differently is refused, and what is accepted is sent as it was written, with nothing added.
 */
import type { HostSet } from '../core/host-set.ts'

export interface RedirectRules {
  /** Of the server that redirects. */
  readonly isTls: boolean
  /** As the DataNode must have it, decoded: `/webhdfs/v1/models/a`. */
  readonly path: string
  readonly op: string
  readonly hosts: HostSet
}

/** Where a request goes: `origin` and `target` make the `Location`, character by character. */
export interface RedirectTarget {
  readonly origin: string
  readonly target: string
}

const LOCATION = /^(https?):\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([1-9]\d{0,4}))?(\/[!-~]*)$/

/** Where the redirect leads, or why it is not followed, without its query, which may hold a token. */
export function readRedirect(
  location: string | undefined,
  { isTls, path, op, hosts }: RedirectRules,
): RedirectTarget | { readonly problem: string } {
  if (location === undefined) return { problem: 'the redirect names no Location' }
  const [, scheme = '', host = '', port = '', target = ''] = LOCATION.exec(location) ?? []
  const url = URL.parse(location)
  if (scheme === '' || url === null || /[#\\]/.test(location))
    return { problem: 'the Location of the redirect is no plain http or https URL' }
  if (isTls && scheme !== 'https') return { problem: `it redirects from TLS to plain http at ${host}` }
  if (!hosts.has(host)) return { problem: `it redirects to ${host}, which is not in stores.hdfs.dataNodes` }
  const [encoded = ''] = target.split('?')
  if (decoded(encoded) !== path) return { problem: `it redirects to another path at ${host}` }
  const ops = [...url.searchParams].filter(([name]) => name.toLowerCase() === 'op')
  if (ops.length !== 1 || ops[0]?.[1].toUpperCase() !== op)
    return { problem: `it redirects to another operation at ${host}` }
  return { origin: `${scheme}://${host}${port === '' ? '' : `:${port}`}`, target }
}

/** Undefined where it is not well encoded. */
function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}
