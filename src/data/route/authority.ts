/**
 * Validates the authority in Host and in an absolute-form target (RFC 9110, section 7.2; RFC 3986, section 3.2): a name or
 * address, with or without a port. The check is strict, since routes, keys and backends use the value, and two servers
 * could read an odd one such as `a b` as different hosts.
 */

const NAME = "(?:[\\w.~!$&'()*+,;=-]|%[0-9a-f]{2})+"
const AUTHORITY = new RegExp(`^(?:${NAME}|\\[[0-9a-f:.]+\\])(?::\\d{0,5})?$`, 'i')

/** User information is refused: no request may carry it (RFC 9110, section 4.2.4). */
export function isAuthority(text: string): boolean {
  return AUTHORITY.test(text)
}
