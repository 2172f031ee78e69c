/**
 * Which header fields pass through the gateway, and what it adds. Hop-by-hop fields end here (RFC 9110,
 * section 7.6.1), those that Connection names as well.
 */
import { header, headerAll, type RawPairs } from '../../core/call.ts'
import type { Fields, Reply } from '../../core/reply.ts'

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

// Written anew for the next hop: framing, authority, and what the gateway answers itself.
const REQUEST_REPLACED = new Set([
  'content-length',
  'expect',
  'forwarded',
  'host',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
])

/** Who stands at the other end of the client's connection. */
export interface Peer {
  readonly address: string
  readonly scheme: 'http' | 'https'
  /** True where the peer is a proxy of ours, whose forwarding fields are believed. */
  readonly trusted: boolean
}

/** The caller's fields as they go to a backend, with ours added. Host and framing are the client's business. */
export function forwardedRequest(headers: RawPairs, host: string, peer: Peer): string[] {
  const dropped = connectionOptions(headers)
  const out: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase()
    if (HOP_BY_HOP.has(name) || REQUEST_REPLACED.has(name) || dropped?.has(name)) continue
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

/** A backend's fields as they go to the client. */
export function forwardedReply(headers: RawPairs): string[] {
  const dropped = connectionOptions(headers)
  const out: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase()
    if (HOP_BY_HOP.has(name) || dropped?.has(name)) continue
    out.push(headers[i] as string, headers[i + 1] as string)
  }
  return out
}

/** The fields that go to the client; worked out once for a head that comes again. */
export function clientFields({ headers, notes }: Reply): Fields {
  if (!notes) {
    if (headers !== lastKept.headers) lastKept = { headers, fields: { pairs: forwardedReply(headers) } }
    return lastKept.fields
  }
  notes.forwarded ??= { pairs: forwardedReply(headers) }
  return notes.forwarded
}

/** Of the answer before that was not a backend's own: new ones keep the same list of fields. */
let lastKept: { readonly headers: RawPairs; readonly fields: Fields } = { headers: [], fields: { pairs: [] } }

function connectionOptions(headers: RawPairs): Set<string> | undefined {
  const connection = headerAll(headers, 'connection')
  // Said of the connection alone, by most.
  if (connection.every((value) => /^(?:keep-alive|close)$/i.test(value))) return undefined
  const options = connection.flatMap((value) => value.split(',')).map((option) => option.trim().toLowerCase())
  // Nobody may have these taken away by naming them: they decide what the answer is.
  return new Set(options.filter((name) => name !== 'content-type' && name !== 'authorization'))
}
