/**
 * Paths as they are compared. A path goes to the backend as its sender spelled it; what is decided by it (the route, the
 * model) is decided by what it says, or `m%2Dx` would slip past a rule for `m-x`.
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

/** Without the escapes that say nothing (RFC 3986, section 6.2.2.2): what is left of them is no delimiter of anything. */
export function plainPath(path: string): string {
  if (!path.includes('%')) return path
  return path.replace(ESCAPE, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16))
    return UNRESERVED.test(character) ? character : escape
  })
}

/** Undefined: its escapes are not those of UTF-8. */
export function decoded(text: string): string | undefined {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
