/**
 * Parses and validates the request target before anything is decided on it. What two parsers could read differently is
 * refused (400) rather than normalised: a cache and a backend that disagree on a path leak each other's answers.
 */
import { GatewayError } from '../../core/errors.ts'
import { ambiguity, decoded } from '../../core/path.ts'
import { isAuthority } from './authority.ts'

export interface RequestTarget {
  readonly path: string
  /** With its `?`, or the empty string. */
  readonly query: string
  /** Of a target in absolute-form, lower case: it counts in place of Host (RFC 9112, section 3.2.2). */
  readonly host?: string
}

const MAX_TARGET = 8192
// Printable ASCII without space, backslash and fragment (RFC 9112, section 3.2).
const PLAIN = /^[!"$-[\]-~]+$/
const BROKEN_ESCAPE = /%(?![0-9a-f]{2})/i

const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/is

/** Splits a target in origin-form or absolute-form; throws `badTarget` where it is anything else or ambiguous. */
export function parseTarget(raw: string): RequestTarget {
  if (raw.length > MAX_TARGET) throw refusal(`longer than ${MAX_TARGET} bytes`)
  return raw.startsWith('/') ? inOriginForm(raw) : inAbsoluteForm(raw)
}

function inAbsoluteForm(raw: string): RequestTarget {
  const [, host, rest = ''] = ABSOLUTE.exec(raw) ?? []
  if (host === undefined) throw refusal('it must begin with "/", or with "http://" or "https://" and a host')
  if (!isAuthority(host)) throw refusal('its host is neither a name nor an address')
  return { ...inOriginForm(rest.startsWith('/') ? rest : `/${rest}`), host: host.toLowerCase() }
}

function inOriginForm(raw: string): RequestTarget {
  if (!PLAIN.test(raw)) throw refusal('it holds a character that must be percent-encoded')
  const mark = raw.indexOf('?')
  const path = mark < 0 ? raw : raw.slice(0, mark)
  const unclear = ambiguity(path)
  if (unclear !== undefined) throw refusal(unclear)
  if (BROKEN_ESCAPE.test(path)) throw refusal('"%" must be followed by two hex digits')
  if (decoded(path) === undefined) throw refusal('its escapes are not UTF-8')
  return { path, query: mark < 0 ? '' : raw.slice(mark) }
}

function refusal(why: string): GatewayError {
  return new GatewayError('badTarget', `bad request target: ${why}`)
}
