/** The header fields of requests and answers in HTTP/2 (RFC 9113, section 8): lists of names and values, pseudo-fields first. */
import type { RawPairs } from '../../core/call.ts'
import { isFieldName, isFieldValue, isRequestTarget } from '../../core/field-syntax.ts'
import { FieldTable, HOP_FIELDS } from '../../core/fields.ts'
import type { ReplyNotes } from '../../core/reply.ts'
import { Generations } from '../../lib/generations.ts'
import { unsendable } from './pending-exchange.ts'

export interface PseudoFields {
  readonly method: string
  readonly scheme: 'http' | 'https'
  readonly authority: string
  readonly path: string
}

/** HTTP/2 frames by itself, names the host in `:authority`, and knows no fields of a connection. */
const OMITTED = new FieldTable(
  [...HOP_FIELDS, 'content-length', 'expect', 'host'].map((name) => [name, true] as const),
)

/** The list that was made last of a list of fields: a client that sends the same list again needs no new check of it. */
const WRITTEN = new WeakMap<RawPairs, readonly string[]>()

/** The fields of a request. Throws `badRequest` where HTTP does not allow a character. */
export function requestFields(
  { method, scheme, authority, path }: PseudoFields,
  headers: RawPairs,
): string[] {
  if (!isFieldName(method) || !isRequestTarget(path) || !isFieldValue(authority))
    throw unsendable('its method, target or host')
  let fields = WRITTEN.get(headers)
  if (!fields) {
    fields = endToEnd(headers)
    WRITTEN.set(headers, fields)
  }
  return [
    ':method',
    method,
    ':scheme',
    scheme,
    ':authority',
    authority,
    ':path',
    path,
    ...fields,
    // Without it, servers of gRPC refuse the call: it may have lost its trailers on the way.
    'te',
    'trailers',
  ]
}

function endToEnd(headers: RawPairs): string[] {
  const fields: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const value = headers[i + 1] as string
    if (!isFieldName(name) || !isFieldValue(value)) throw unsendable(`its field ${JSON.stringify(name)}`)
    if (!OMITTED.get(name)) fields.push(name.toLowerCase(), value)
  }
  return fields
}

export interface Http2ReplyHead {
  readonly status: number
  readonly headers: RawPairs
  readonly notes: ReplyNotes
}

/** Longer heads are read each time. */
const MAX_KEPT_FIELDS = 32
const heads = new Generations<Http2ReplyHead>(256)

/** The head of an answer. A backend repeats its heads, and what was found out about one is kept with it. */
export function replyHead(raw: readonly string[]): Http2ReplyHead {
  if (raw.length > MAX_KEPT_FIELDS * 2) return read(raw)
  const text = raw.join('\n')
  const known = heads.get(text)
  if (known) return known
  const head = read(raw)
  heads.set(text, head)
  return head
}

function read(raw: readonly string[]): Http2ReplyHead {
  const headers = replyFields(raw)
  return { status: Number(raw[raw.indexOf(':status') + 1]), headers, notes: {} }
}

/** Fields or trailers without pseudo-fields. */
export function replyFields(raw: readonly string[]): string[] {
  const fields: string[] = []
  for (let i = 0; i < raw.length; i += 2)
    if (!raw[i]?.startsWith(':')) fields.push(raw[i] as string, raw[i + 1] as string)
  return fields
}
