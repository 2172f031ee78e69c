/**
 * Reads the head of an HTTP/2 request (RFC 9113, section 8.3). What it gives is an HTTP/1.1 head of the same meaning, since routes
 * and keys are made of it and backends may get it over HTTP/1.1: one authority, as Host; one Cookie; no field that frames a
 * message. What could be read otherwise there is malformed (section 10.3).
 */
import type { RawPairs } from '../../../core/call.ts'
import { isFieldName, isFieldValue } from '../../../core/field-syntax.ts'
import type { HeadNotes } from '../../exchange/exchange.ts'
import { isAuthority } from '../../route/authority.ts'

/** A request's head; its notes are shared by all requests that repeat it. */
export interface Http2Head {
  readonly method: string
  readonly target: string
  /** In lower case. */
  readonly host: string
  /** Host, then the fields in order. */
  readonly headers: RawPairs
  /** What Content-Length says; undefined: nothing. */
  readonly length: number | undefined
  readonly notes: HeadNotes
}

/** Why a head is malformed, for tests and people who debug a client. */
export interface MalformedHead {
  readonly malformed: string
}

/** Fields about an HTTP/1.1 connection, none of which HTTP/2 may have (RFC 9113, section 8.2.2). */
const OF_CONNECTION = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

/** Pseudo-header fields of requests; they come first (RFC 9113, section 8.3). */
const PSEUDO = new Set([':method', ':scheme', ':authority', ':path'])

/** `raw`: pseudo-header fields and fields as they came. */
export function readHead(raw: RawPairs): Http2Head | MalformedHead {
  const pseudo = new Map<string, string>()
  const fields: string[] = []
  const cookies: string[] = []
  let host: string | undefined
  let length: string | undefined
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string
    const value = raw[i + 1] as string
    if (name.startsWith(':')) {
      if (!PSEUDO.has(name) || pseudo.has(name) || i > pseudo.size * 2) return { malformed: name }
      pseudo.set(name, value)
      continue
    }
    if (!isFieldName(name) || name !== name.toLowerCase()) return { malformed: 'a field name' }
    if (!isFieldValue(value)) return { malformed: `the value of ${name}` }
    if (OF_CONNECTION.has(name)) return { malformed: name }
    if (name === 'te' && value.toLowerCase() !== 'trailers') return { malformed: 'te' }
    if (name === 'content-length') {
      if (length !== undefined || !/^\d{1,15}$/.test(value)) return { malformed: 'content-length' }
      length = value
    }
    if (name === 'host') {
      if (host !== undefined) return { malformed: 'host twice' }
      host = value
    } else if (name === 'cookie') cookies.push(value)
    else fields.push(name, value)
  }
  const authority = pseudo.get(':authority') ?? host
  const [method, scheme, target] = [pseudo.get(':method'), pseudo.get(':scheme'), pseudo.get(':path')]
  if (authority === undefined || !isAuthority(authority)) return { malformed: ':authority' }
  if (host !== undefined && host.toLowerCase() !== authority.toLowerCase())
    return { malformed: ':authority is not host' }
  if (method === undefined || !isFieldName(method)) return { malformed: ':method' }
  if (scheme !== 'http' && scheme !== 'https') return { malformed: ':scheme' }
  if (target === undefined || !/^(?:\/|\*$)/.test(target)) return { malformed: ':path' }
  const headers = ['host', authority, ...fields]
  // A client may cut the field into pieces, which compress better (RFC 9113, section 8.2.3).
  if (cookies.length > 0) headers.push('cookie', cookies.join('; '))
  return {
    method,
    target,
    host: authority.toLowerCase(),
    headers,
    length: length === undefined ? undefined : Number(length),
    notes: {},
  }
}
