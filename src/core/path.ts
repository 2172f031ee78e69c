/**
 * Paths as they are compared. A path goes to the backend as its sender spelled it; what is decided by it (the route, the
 * model) is decided by what it says, or `m%2Dx` would slip past a rule for `m-x`.
 */

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
