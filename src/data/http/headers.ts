/**
 * Which header fields pass through the gateway, and which it adds. Hop-by-hop fields end here (RFC 9110, section 7.6.1), as
 * do those that Connection names.
 */
import { header, headerAll, type RawPairs } from '../../core/call.ts'
import { FieldTable, HOP_FIELDS, REPLACED_FIELDS } from '../../core/fields.ts'
import type { Fields, Reply } from '../../core/reply.ts'
import { REQUEST_ID } from '../../core/request-id.ts'
import { lastOf } from '../../lib/memo.ts'
import { isDeciding } from '../key/meaning.ts'

const HOP_BY_HOP = tableOf(HOP_FIELDS)
/** The id of a call is its gateway's to say, at either end. */
const REPLACED = tableOf([...REPLACED_FIELDS, REQUEST_ID])

function tableOf(names: readonly string[]): FieldTable<true> {
  return new FieldTable(names.map((name) => [name, true]))
}

/** The other end of the client's connection. */
export interface Peer {
  readonly address: string
  readonly scheme: 'http' | 'https'
  /** The peer is a trusted proxy, whose forwarding fields are passed on. */
  readonly trusted: boolean
}

/**
 * The caller's end-to-end fields, without those of its connection. Whatever depends on a call's fields, its key first of all,
 * depends on these. They still include the fields that the gateway writes anew for the next hop. `withheld`: further fields
 * that end here.
 */
export function endToEnd(headers: RawPairs, withheld?: FieldTable<true>): RawPairs {
  let named: Set<string> | undefined
  let out: string[] | undefined
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (name.length === 10 && name.toLowerCase() === 'connection') named ??= connectionOptions(headers)
  }
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const isDropped =
      HOP_BY_HOP.get(name) === true || named?.has(name.toLowerCase()) === true || withheld?.get(name) === true
    if (isDropped) out ??= headers.slice(0, i)
    else out?.push(name, headers[i + 1] as string)
  }
  return out ?? headers
}

/** The end-to-end fields that go to a backend, with the gateway's own added. The client adds Host and framing. */
export function forwardedRequest(headers: RawPairs, host: string, peer: Peer): string[] {
  const out: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    if (REPLACED.get(headers[i] as string)) continue
    out.push(headers[i] as string, headers[i + 1] as string)
  }
  const before = peer.trusted ? headerAll(headers, 'x-forwarded-for').join(', ') : ''
  const outer = (name: string) => (peer.trusted ? header(headers, name) : undefined)
  out.push('x-forwarded-for', before ? `${before}, ${peer.address}` : peer.address)
  out.push('x-forwarded-host', outer('x-forwarded-host') ?? host)
  out.push('x-forwarded-proto', outer('x-forwarded-proto') ?? peer.scheme)
  const via = headerAll(headers, 'via').join(', ')
  out.push('via', via ? `${via}, 1.1 infergate` : '1.1 infergate')
  return out
}

function isRequestId(name: string): boolean {
  return name.length === REQUEST_ID.length && name.toLowerCase() === REQUEST_ID
}

/** A backend's fields as they go to the client, without an id that it gave the request: the answer has the gateway's. */
export function forwardedReply(headers: RawPairs): string[] {
  const dropped = connectionOptions(headers)
  const out: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (HOP_BY_HOP.get(name) || isRequestId(name) || dropped?.has(name.toLowerCase())) continue
    out.push(headers[i] as string, headers[i + 1] as string)
  }
  return out
}

/**
 * Trailers as they go to the client, without those that would frame or route a message (RFC 9110, section 6.5.1). A backend over HTTP/2
 * that repeats them gives the same list.
 */
export const forwardedTrailers = lastOf((trailers: RawPairs): RawPairs => {
  const out: string[] = []
  for (let i = 0; i < trailers.length; i += 2) {
    const name = trailers[i] as string
    if (!HOP_BY_HOP.get(name) && !REPLACED.get(name)) out.push(name, trailers[i + 1] as string)
  }
  return out
})

/** The fields that go to the client; computed once for a head that repeats. */
export function clientFields({ headers, notes }: Reply): Fields {
  if (!notes) return keptFields(headers)
  notes.forwarded ??= { pairs: forwardedReply(headers) }
  return notes.forwarded
}

/** For answers that are not a backend's own. One is remembered: the next answer mostly has the same list of fields. */
const keptFields = lastOf((headers: RawPairs): Fields => ({ pairs: forwardedReply(headers) }))

/** An answer's fields without those of its content; they stay true of an answer composed from it. */
export function besideContent({ headers }: Reply): RawPairs {
  const out: string[] = []
  const fields = forwardedReply(headers)
  for (let i = 0; i < fields.length; i += 2) {
    const name = (fields[i] as string).toLowerCase()
    if (!name.startsWith('content-') && !OF_CONTENT.has(name))
      out.push(fields[i] as string, fields[i + 1] as string)
  }
  return out
}

const OF_CONTENT = new Set([
  'accept-ranges',
  'digest',
  'etag',
  'inference-header-content-length',
  'last-modified',
  'repr-digest',
])

function connectionOptions(headers: RawPairs): Set<string> | undefined {
  const connection = headerAll(headers, 'connection')
  // Most name nothing but the connection itself.
  if (connection.every((value) => /^(?:keep-alive|close)$/i.test(value))) return undefined
  const options = connection.flatMap((value) => value.split(',')).map((option) => option.trim().toLowerCase())
  // These stay even if Connection names them: they decide what the answer is and whose (RFC 9110, section 7.6.1: a sender
  // must not name fields that are meant for all recipients).
  return new Set(options.filter((name) => !isDeciding(name) && !REPLACED.get(name) && !ALWAYS.has(name)))
}

/** Further fields that are meant for all recipients. */
const ALWAYS = new Set(['cache-control', 'pragma', 'range', 'accept', 'date', 'age', 'vary'])

const CORS = /^access-control-/i

/** The answer without what its backend says of CORS, where the gateway speaks for it. */
export function withoutCors(reply: Reply): Reply {
  if (!reply.headers.some((text, i) => i % 2 === 0 && CORS.test(text))) return reply
  const { notes: _, ...rest } = reply
  return { ...rest, headers: reply.headers.filter((_text, i) => !CORS.test(reply.headers[i & ~1] as string)) }
}

const OF_BYTES = /^(?:content-length|content-md5|content-digest|digest|repr-digest|etag)$/i

/** The answer without what its backend says of the bytes of its body, which not every caller gets as they came. */
export function withoutByteFields(reply: Reply): Reply {
  if (!reply.headers.some((text, i) => i % 2 === 0 && OF_BYTES.test(text))) return reply
  const { notes: _, ...rest } = reply
  return {
    ...rest,
    headers: reply.headers.filter((_text, i) => !OF_BYTES.test(reply.headers[i & ~1] as string)),
  }
}
