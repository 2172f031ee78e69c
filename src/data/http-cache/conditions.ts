/**
 * Conditional and range requests (RFC 9110, sections 13 and 14; RFC 9111, section 4.3): those of a caller, which a stored
 * answer is held against, and those that revalidate a stored answer at a backend.
 */
import { type Call, header, headerAll, type RawPairs } from '../../core/call.ts'
import type { Reply } from '../../core/reply.ts'
import { parseDate } from './dates.ts'
import { fieldsOfNotModified, fieldsOfPart, without } from './fields.ts'

/** A stored answer with its whole body. */
export type Complete = Pick<Reply, 'status' | 'headers'> & { readonly body: Uint8Array }

/** Conditional and range fields of a caller; where an answer is stored, the gateway evaluates them. */
const CONDITIONAL = new Set(['if-none-match', 'if-modified-since', 'range', 'if-range'])

/** Whether a request is for something other than the whole answer. */
export function isConditional(headers: RawPairs): boolean {
  for (let i = 0; i < headers.length; i += 2)
    if (CONDITIONAL.has((headers[i] as string).toLowerCase())) return true
  return false
}

/** The answer to a caller's conditions: all of it, a part of it, or 304. If it is all, the head is the same object as stored. */
export function answerTo(
  { method, headers }: Pick<Call, 'method' | 'headers'>,
  stored: Complete,
  wallNow: number,
): Complete {
  if (stored.status !== 200 || !isConditional(headers)) return stored
  if (hasIt(headers, stored.headers, wallNow))
    return { status: 304, headers: fieldsOfNotModified(stored.headers), body: NOTHING }
  // The range of a HEAD is ignored: it has a meaning for GET alone (RFC 9110, section 14.2).
  return method === 'GET' ? partOf(headers, stored) : stored
}

const NOTHING = new Uint8Array(0)

/** Whether the caller has the answer. If-None-Match takes precedence over If-Modified-Since, and compares weakly. */
function hasIt(request: RawPairs, stored: RawPairs, wallNow: number): boolean {
  const tags = headerAll(request, 'if-none-match')
  if (tags.length > 0) return isListed(tags.join(','), header(stored, 'etag'))
  const since = parseDate(header(request, 'if-modified-since') ?? '', wallNow)
  // Without Last-Modified, the answer is no older than its Date (RFC 9111, section 4.3.2).
  const modified = parseDate(header(stored, 'last-modified') ?? header(stored, 'date') ?? '', wallNow)
  return since !== undefined && modified !== undefined && modified <= since
}

function isListed(list: string, etag: string | undefined): boolean {
  if (list.trim() === '*') return true
  if (etag === undefined) return false
  const opaque = etag.replace(/^W\//, '')
  // Clients of servers that forget the quotes send back the tag as they got it.
  if (list.trim() === etag) return true
  return (list.match(/(?:W\/)?"[^"]*"/g) ?? []).some((tag) => tag.replace(/^W\//, '') === opaque)
}

/** One range of bytes; several ranges get the whole answer, which is right as well (RFC 9110, section 14.2). */
function partOf(request: RawPairs, stored: Complete): Complete {
  const lookup = header(request, 'range')
  const { body, headers } = stored
  if (lookup === undefined || !isOfThis(header(request, 'if-range'), headers)) return stored
  const range = rangeOf(lookup, body.length)
  if (range === undefined) return stored
  if (range === 'outside')
    return { status: 416, headers: ['Content-Range', `bytes */${body.length}`], body: NOTHING }
  const [start, end] = range
  const contentRange = ['Content-Range', `bytes ${start}-${end - 1}/${body.length}`]
  return {
    status: 206,
    headers: [...fieldsOfPart(headers), ...contentRange],
    body: body.subarray(start, end),
  }
}

/** If-Range compares strongly: parts of two versions must not be combined. */
function isOfThis(validator: string | undefined, stored: RawPairs): boolean {
  if (validator === undefined) return true
  if (validator.startsWith('"')) return validator === header(stored, 'etag')
  return validator === header(stored, 'last-modified')
}

/** Start and end, exclusive; `outside`: the range has no byte of the body; undefined: not a single plain range. */
export function rangeOf(field: string, length: number): readonly [number, number] | 'outside' | undefined {
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(field) ?? []
  if (first === '' && last === '') return undefined
  if (first === '') {
    const count = Math.min(Number(last), length)
    return count === 0 ? 'outside' : [length - count, length]
  }
  const start = Number(first)
  const end = last === '' ? length : Math.min(Number(last) + 1, length)
  if (last !== '' && Number(last) < start) return undefined
  return start >= length ? 'outside' : [start, end]
}

/** The fields with which a backend can revalidate a stored answer; undefined: there are none. */
export function validatorsOf(stored: RawPairs): RawPairs | undefined {
  const etag = header(stored, 'etag')
  const modified = header(stored, 'last-modified')
  if (etag === undefined && modified === undefined) return undefined
  return [
    ...(etag === undefined ? [] : ['If-None-Match', etag]),
    ...(modified === undefined ? [] : ['If-Modified-Since', modified]),
  ]
}

/** A caller's fields with the gateway's condition in place of its own. */
export function withValidators(headers: RawPairs, validators: RawPairs): RawPairs {
  return [...without(headers, CONDITIONAL), ...validators]
}
