/**
 * Normalization of paths for comparison. A path is forwarded as the client spelled it, but routes and models are
 * matched on the normalized form; otherwise `m%2Dx` would evade a rule for `m-x`.
 */

const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?:\/|$)/i
// An encoded slash, backslash or control character means one thing to us and may mean another to the server behind.
const ENCODED_SEPARATOR = /%(?:2f|5c|7f|[01][0-9a-f])/i

/** What two readers of a path could take differently: a call with it is refused, so no rule for it is ever met. */
export function ambiguity(path: string): string | undefined {
  if (ENCODED_SEPARATOR.test(path)) return 'an encoded slash, backslash or control character is ambiguous'
  return DOT_SEGMENT.test(path) ? 'dot segments are not resolved here: send the path they mean' : undefined
}

const ESCAPE = /%[0-9a-f]{2}/gi
const UNRESERVED = /[\w.~-]/

/**
 * Decodes the escapes of unreserved characters (RFC 3986, section 6.2.2.2). The remaining escapes stand for delimiters
 * or non-ASCII bytes.
 */
export function plainPath(path: string): string {
  if (!path.includes('%')) return path
  return path.replace(ESCAPE, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16))
    return UNRESERVED.test(character) ? character : escape
  })
}

/** Percent-decoded; undefined where the escapes are not valid UTF-8. */
export function decoded(text: string): string | undefined {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
