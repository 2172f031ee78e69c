/**
 * What may stand in Host and in an absolute-form target (RFC 9110, section 7.2; RFC 3986, section 3.2): a name or address,
 * with or without a port. Strict, since routes, keys and backends go by it: two readers of `a b` may take different hosts.
 */

const NAME = "(?:[\\w.~!$&'()*+,;=-]|%[0-9a-f]{2})+"
const AUTHORITY = new RegExp(`^(?:${NAME}|\\[[0-9a-f:.]+\\])(?::\\d{0,5})?$`, 'i')

/** Without user information, which no request has any business with (RFC 9110, section 4.2.4). */
export function isAuthority(text: string): boolean {
  return AUTHORITY.test(text)
}
