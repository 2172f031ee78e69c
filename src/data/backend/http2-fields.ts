/** The header fields of requests and answers in HTTP/2 (RFC 9113, section 8): lists of names and values, pseudo-fields first. */
import type { RawPairs } from '../../core/call.ts'
import { isFieldName, isFieldValue, isRequestTarget } from '../../core/field-syntax.ts'
import { FieldTable, HOP_FIELDS } from '../../core/fields.ts'
import { isHttp2Field } from '../../core/http2-field.ts'
import type { ReplyNotes } from '../../core/reply.ts'
import { Generations } from '../../lib/generations.ts'
import { unsendable } from './pending-exchange.ts'
import { GarbledError } from './reply-head.ts'

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

/** The last request that was made of a list of fields: a client that sends the same again needs no new check of it. */
const WRITTEN = new WeakMap<RawPairs, { readonly to: PseudoFields; readonly fields: RawPairs }>()

/** The fields of a request; the same list where the last request with `headers` was the same. Throws `badRequest` where HTTP does not allow a character. */
export function requestFields(to: PseudoFields, headers: RawPairs): RawPairs {
  const known = WRITTEN.get(headers)
  if (known && isSame(known.to, to)) return known.fields
  const { method, scheme, authority, path } = to
  if (!isFieldName(method) || !isRequestTarget(path) || !isFieldValue(authority))
    throw unsendable('its method, target or host')
  const pseudo = [':method', method, ':scheme', scheme, ':authority', authority, ':path', path]
  // Without `te`, servers of gRPC refuse the call: it may have lost its trailers on the way.
  const fields = [...pseudo, ...endToEnd(headers), 'te', 'trailers']
  WRITTEN.set(headers, { to, fields })
  return fields
}

function isSame(a: PseudoFields, b: PseudoFields): boolean {
  return a.path === b.path && a.method === b.method && a.authority === b.authority && a.scheme === b.scheme
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
  /** What Content-Length says; undefined: nothing. */
  readonly length: number | undefined
  readonly notes: ReplyNotes
}

/** Longer heads are read each time: a backend fills the table with whatever heads it likes. */
const MAX_KEPT_FIELDS = 32
const MAX_KEPT_CHARS = 2048
const heads = new Generations<Http2ReplyHead>(256)
/** By the list itself: a backend's repeated head is decoded to the same. */
const headOf = new WeakMap<RawPairs, Http2ReplyHead>()

/** The head of an answer. A backend repeats its heads, and what was found out about one is kept with it. Throws GarbledError, as the next. */
export function replyHead(raw: RawPairs): Http2ReplyHead {
  const same = headOf.get(raw)
  if (same) return same
  const text = raw.length > MAX_KEPT_FIELDS * 2 ? undefined : raw.join('\n')
  if (text === undefined || text.length > MAX_KEPT_CHARS) return readHead(raw)
  let head = heads.get(text)
  if (!head) {
    head = readHead(raw)
    heads.set(text, head)
  }
  headOf.set(raw, head)
  return head
}

function readHead(raw: RawPairs): Http2ReplyHead {
  const status = raw[1] as string
  if (raw[0] !== ':status' || !/^[1-9]\d\d$/.test(status)) throw new GarbledError('a head without a status')
  const headers = raw.slice(2)
  check(headers)
  return { status: Number(status), headers, length: lengthOf(headers), notes: {} }
}

/** The fields behind a body, which have no pseudo-fields. */
export function replyTrailers(raw: RawPairs): RawPairs {
  check(raw)
  return raw
}

function check(fields: RawPairs): void {
  for (let i = 0; i < fields.length; i += 2)
    if (!isHttp2Field(fields[i] as string, fields[i + 1] as string))
      throw new GarbledError('a field is broken')
}

function lengthOf(headers: RawPairs): number | undefined {
  const at = headers.findIndex((text, i) => i % 2 === 0 && text === 'content-length')
  if (at < 0) return undefined
  const value = headers[at + 1] as string
  const isTwice = headers.some((text, i) => i % 2 === 0 && i > at && text === 'content-length')
  if (isTwice || !/^\d{1,15}$/.test(value)) throw new GarbledError('Content-Length is broken')
  return Number(value)
}
