/**
 * Matches a request's target to a route of the table and checks the names in it. The check comes first, because those
 * names end up in header fields, log lines and messages.
 */
import { ID_PATTERN, POOL_PATTERN } from '../registry/registration.ts'
import { ROUTES } from './api.ts'
import type { AdminRoute } from './contract.ts'
import { Problem } from './problem.ts'

export interface Match {
  readonly route: AdminRoute
  readonly params: Record<string, string>
}

interface Grammar {
  readonly pattern: RegExp
  readonly what: string
}

const POOL: Grammar = {
  pattern: POOL_PATTERN,
  what: 'a pool\'s name has 1 to 64 letters, digits, "_", "-" and ".", the first a letter or digit',
}
const ROUTE: Grammar = {
  pattern: POOL_PATTERN,
  what: 'a route\'s name has 1 to 64 letters, digits, "_", "-" and ".", the first a letter or digit',
}
const ID: Grammar = {
  pattern: ID_PATTERN,
  what: 'a backend id has 1 to 128 characters of A-Z a-z 0-9 . _ : -',
}
/** Of Kubernetes: a DNS label, and the name of a metric; and a file of the dashboard. */
const WORD: Grammar = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9_.-]{0,252}$/,
  what: 'namespaces, metrics and files have letters, digits, "_", "-" and "."',
}

/** As the settings name it, `*` included. */
const TENANT: Grammar = {
  pattern: /^[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?$/,
  what: 'a tenant has 1 to 256 visible ASCII characters',
}

const GRAMMARS: Readonly<Record<string, Grammar>> = {
  pool: POOL,
  route: ROUTE,
  id: ID,
  tenant: TENANT,
  file: WORD,
  namespace: WORD,
  metric: WORD,
  warming: WORD,
}

export function targetOf(target: string): { path: string; query: URLSearchParams } {
  const absolute = target.startsWith('/') ? undefined : URL.parse(target)
  const text = absolute ? absolute.pathname + absolute.search : target
  const at = text.indexOf('?')
  return {
    path: at < 0 ? text : text.slice(0, at),
    query: new URLSearchParams(at < 0 ? '' : text.slice(at + 1)),
  }
}

/** Throws 404, or 405 with the methods the path has. */
export function match(method: string, path: string): Match {
  const parts = path.split('/')
  const allowed: string[] = []
  for (const route of ROUTES) {
    const params = paramsOf(route.path.split('/'), parts)
    if (!params) continue
    if (route.method === method) return { route, params }
    allowed.push(route.method)
  }
  if (allowed.length > 0) {
    throw new Problem(405, `this path takes ${allowed.join(', ')}`, {
      headers: { allow: allowed.join(', ') },
    })
  }
  throw new Problem(404, `there is nothing at ${path.slice(0, 256)}; the API is under /api/v1/`)
}

function paramsOf(pattern: readonly string[], parts: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== parts.length) return undefined
  const params: Record<string, string> = {}
  for (const [i, expected] of pattern.entries()) {
    const part = parts[i] ?? ''
    if (!expected.startsWith(':')) {
      if (expected !== part) return undefined
      continue
    }
    const name = expected.slice(1)
    params[name] = named(part, GRAMMARS[name] ?? WORD)
  }
  return params
}

function named(part: string, { pattern, what }: Grammar): string {
  const name = decoded(part)
  if (!pattern.test(name)) throw new Problem(400, what)
  return name
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new Problem(400, 'the path has a broken percent-encoding')
  }
}
