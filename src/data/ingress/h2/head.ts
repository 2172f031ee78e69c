/**
 * Reads the head of an HTTP/2 request (RFC 9113, section 8.3). What it gives is an HTTP/1.1 head of the same meaning, since routes
 * and keys are made of it and backends may get it over HTTP/1.1: one authority, as Host; one Cookie; no field that frames a
 * message. What could be read otherwise there is malformed (section 10.3).
 */
import { header, type RawPairs } from '../../../core/call.ts'
import { isFieldName } from '../../../core/field-syntax.ts'
import { isHttp2Field } from '../../../core/http2-field.ts'
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
  /** The client waits for 100 Continue before it sends the body. */
  readonly expectsContinue: boolean
  readonly notes: HeadNotes
}

/** Why a head is malformed, for tests and people who debug a client. */
export interface MalformedHead {
  readonly malformed: string
}

/** Pseudo-header fields of requests; they come first (RFC 9113, section 8.3). */
const PSEUDO = new Set([':method', ':scheme', ':authority', ':path'])

/** `raw`: pseudo-header fields and fields as they came. */
export function readHead(raw: RawPairs): Http2Head | MalformedHead {
  const read = fieldsOf(raw)
  if ('malformed' in read) return read
  const { pseudo, host, cookies, length } = read
  const authority = pseudo.get(':authority') ?? host
  const [method, scheme, target] = [pseudo.get(':method'), pseudo.get(':scheme'), pseudo.get(':path')]
  if (authority === undefined || !isAuthority(authority)) return { malformed: ':authority' }
  if (host !== undefined && host.toLowerCase() !== authority.toLowerCase())
    return { malformed: ':authority is not host' }
  // CONNECT has neither scheme nor path, and asks for a tunnel (RFC 9113, section 8.5).
  if (method === undefined || !isFieldName(method) || method === 'CONNECT') return { malformed: ':method' }
  if (scheme !== 'http' && scheme !== 'https') return { malformed: ':scheme' }
  if (target === undefined || !/^(?:\/|\*$)/.test(target)) return { malformed: ':path' }
  const headers = ['host', authority, ...read.fields]
  // A client may cut the field into pieces, which compress better (RFC 9113, section 8.2.3).
  if (cookies.length > 0) headers.push('cookie', cookies.join('; '))
  return {
    method,
    target,
    host: authority.toLowerCase(),
    headers,
    length: length === undefined ? undefined : Number(length),
    expectsContinue: /\b100-continue\b/i.test(header(headers, 'expect') ?? ''),
    notes: {},
  }
}

/** What a list of fields says, in kinds. */
interface HeadParts {
  readonly pseudo: Map<string, string>
  readonly fields: string[]
  readonly cookies: string[]
  host?: string
  length?: string
}

function fieldsOf(raw: RawPairs): HeadParts | MalformedHead {
  const parts: HeadParts = { pseudo: new Map(), fields: [], cookies: [] }
  const { pseudo } = parts
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string
    const value = raw[i + 1] as string
    if (name.startsWith(':')) {
      if (!PSEUDO.has(name) || pseudo.has(name) || i > pseudo.size * 2) return { malformed: name }
      pseudo.set(name, value)
    } else if (!isHttp2Field(name, value) || !takes(parts, name, value)) return { malformed: name }
  }
  return parts
}

/** Takes a field; false: there may not be another of it. */
function takes(parts: HeadParts, name: string, value: string): boolean {
  if (name === 'host') {
    if (parts.host !== undefined) return false
    parts.host = value
  } else if (name === 'cookie') {
    parts.cookies.push(value)
  } else if (name === 'content-length') {
    if (parts.length !== undefined || !/^\d{1,15}$/.test(value)) return false
    parts.length = value
    parts.fields.push(name, value)
  } else {
    parts.fields.push(name, value)
  }
  return true
}
