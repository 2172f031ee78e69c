/** Which fields of an answer are stored with it (RFC 9111, sections 3.1 and 3.2), and how a 304 updates them. */
import { header, type RawPairs } from '../../core/call.ts'
import { forwardedReply } from '../http/headers.ts'

/** Fields of one exchange, or made anew for each; a cookie is one caller's. */
const NOT_KEPT = new Set([
  'age',
  'content-length',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'server-timing',
  'set-cookie',
])

/** Fields that describe the stored bytes: a 304 brings no bytes, so it does not change them. */
const OF_THE_BYTES = new Set(['content-encoding', 'content-length', 'content-md5', 'content-range', 'etag'])

/** All end-to-end fields. `at`: wall milliseconds of arrival, for servers without a clock (RFC 9110, section 6.6.1). */
export function keptFields(headers: RawPairs, at: number): RawPairs {
  const kept = without(forwardedReply(headers), NOT_KEPT)
  return header(kept, 'date') === undefined ? [...kept, 'Date', new Date(at).toUTCString()] : kept
}

/** The stored fields as updated by a 304. */
export function updatedFields(stored: RawPairs, headers: RawPairs, at: number): RawPairs {
  const news = without(keptFields(headers, at), OF_THE_BYTES)
  const replaced = new Set<string>()
  for (let i = 0; i < news.length; i += 2) replaced.add((news[i] as string).toLowerCase())
  return [...without(stored, replaced), ...news]
}

/** The fields of a 304 to the caller (RFC 9110, section 15.4.5). */
export function fieldsOfNotModified(stored: RawPairs): RawPairs {
  return without(stored, DESCRIBING)
}

/** The fields of a 206, apart from Content-Range. */
export function fieldsOfPart(stored: RawPairs): RawPairs {
  return without(stored, LENGTHS)
}

const DESCRIBING = new Set([
  'content-encoding',
  'content-language',
  'content-length',
  'content-md5',
  'content-range',
  'content-type',
])
const LENGTHS = new Set(['content-length', 'content-md5', 'content-range'])

/** `names` in lower case. */
export function without(headers: RawPairs, names: ReadonlySet<string>): string[] {
  const out: string[] = []
  for (let i = 0; i < headers.length; i += 2)
    if (!names.has((headers[i] as string).toLowerCase()))
      out.push(headers[i] as string, headers[i + 1] as string)
  return out
}
