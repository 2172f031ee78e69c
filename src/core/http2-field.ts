/** Which fields a head or trailers of HTTP/2 may have (RFC 9113, section 8.2). */
import { isFieldName, isFieldValue } from './field-syntax.ts'

/** Fields about an HTTP/1.1 connection (RFC 9113, section 8.2.2). */
const OF_CONNECTION = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

/** Of fields that are no pseudo-fields. */
export function isHttp2Field(name: string, value: string): boolean {
  if (!isFieldName(name) || name !== name.toLowerCase() || !isFieldValue(value)) return false
  return !OF_CONNECTION.has(name) && (name !== 'te' || value.toLowerCase() === 'trailers')
}
