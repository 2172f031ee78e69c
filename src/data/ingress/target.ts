/**
 * The request target, checked before anything is decided on it. What two parsers could read differently is
 * refused (400) rather than normalised: a cache and a backend that disagree on a path leak each other's answers.
 */
import { GatewayError } from '../../core/errors.ts'

export interface RequestTarget {
  readonly path: string
  /** With its `?`, or the empty string. */
  readonly query: string
}

const MAX_TARGET = 8192
// Printable ASCII without space, backslash and fragment (RFC 9112, section 3.2).
const PLAIN = /^[!"$-[\]-~]+$/
const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?:\/|$)/i
// An encoded slash, backslash or NUL means one thing to us and may mean another to the server behind.
const ENCODED_SEPARATOR = /%(?:2f|5c|00)/i
const BROKEN_ESCAPE = /%(?![0-9a-f]{2})/i

/** Splits a target in origin-form; throws `badTarget` where it is anything else or ambiguous. */
export function parseTarget(raw: string): RequestTarget {
  if (raw.length > MAX_TARGET) throw refusal(`longer than ${MAX_TARGET} bytes`)
  if (!raw.startsWith('/')) throw refusal('not in origin-form: it must begin with "/"')
  if (!PLAIN.test(raw)) throw refusal('it holds a character that must be percent-encoded')
  const mark = raw.indexOf('?')
  const path = mark < 0 ? raw : raw.slice(0, mark)
  if (ENCODED_SEPARATOR.test(path)) throw refusal('an encoded slash, backslash or NUL is ambiguous')
  if (BROKEN_ESCAPE.test(path)) throw refusal('"%" must be followed by two hex digits')
  if (DOT_SEGMENT.test(path)) throw refusal('dot segments are not resolved here: send the path they mean')
  return { path, query: mark < 0 ? '' : raw.slice(mark) }
}

function refusal(why: string): GatewayError {
  return new GatewayError('badTarget', `bad request target: ${why}`)
}
