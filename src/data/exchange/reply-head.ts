/** Writes the head of an answer as text: status line, fields, Date, and the fields about length and connection. */
import type { RawPairs } from '../../core/call.ts'
import { isFieldName, isFieldValue } from '../../core/field-syntax.ts'
import type { Fields } from '../../core/reply.ts'
import { SHOWN_REQUEST_ID } from '../../core/request-id.ts'
import { http } from '../../lib/http.ts'
import { lastOf } from '../../lib/memo.ts'

/** `Date: …`, made once a second. */
export function dateLine(now: number): string {
  return dateLineOf(Math.floor(now / 1000))
}

const dateLineOf = lastOf((second: number) => `Date: ${dateOf(second)}\r\n`)

/** The value of Date, made once a second. */
export function httpDate(now: number): string {
  return dateOf(Math.floor(now / 1000))
}

const dateOf = lastOf((second: number) => new Date(second * 1000).toUTCString())

const lines = new Map<number, string>()

export function statusLine(status: number): string {
  const known = lines.get(status)
  if (known !== undefined) return known
  if (!Number.isInteger(status) || status < 200 || status > 999)
    throw new RangeError(`${status} is not the status of an answer`)
  const line = `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? 'Unknown'}\r\n`
  lines.set(status, line)
  return line
}

/** The end of a head: the field that differs with each request comes last, so that all before it may be made once. */
export function headEnd(requestId: string): string {
  return `${BEFORE_ID}${requestId}${BEHIND_ID}`
}

/** The two parts of `headEnd`. */
export const BEFORE_ID = `${SHOWN_REQUEST_ID}: `
export const BEHIND_ID = '\r\n\r\n'

export interface Framing {
  /** Bytes of the body; `none`: no field about a body is written. */
  readonly length: number | 'chunked' | 'none'
  /** The field lines about the connection, line ends included. */
  readonly connection: string
  readonly requestId: string
}

/** Throws TypeError if a field cannot be sent. The framing replaces a Content-Length among `headers`. */
export function replyHead(
  status: number,
  headers: RawPairs,
  { length, connection, requestId }: Framing,
  before: Lines = NO_LINES,
): string {
  const fields = fieldLines(headers)
  let text = statusLine(status) + before.text + fields.text
  if (!fields.isDated && !before.isDated) text += dateLine(Date.now())
  if (length === 'chunked') text += 'Transfer-Encoding: chunked\r\n'
  else if (length !== 'none') text += `Content-Length: ${length}\r\n`
  return text + connection + headEnd(requestId)
}

type Lines = NonNullable<Fields['lines']>

const NO_LINES: Lines = { text: '', isDated: false }

/** The fields as lines, without Content-Length. Throws TypeError if one cannot be sent. */
export function fieldLines(headers: RawPairs): Lines {
  let text = ''
  let isDated = false
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const value = headers[i + 1] as string
    check(name, value)
    if (name.length === 14 && name.toLowerCase() === 'content-length') continue
    if (name.length === 4 && name.toLowerCase() === 'date') isDated = true
    text += `${name}: ${value}\r\n`
  }
  return { text, isDated }
}

/** Throws TypeError if the field cannot be sent. The last field is remembered, since the gateway's own are mostly the same. */
const check = lastOf((name: string, value: string): void => {
  if (!isFieldValue(value) || !isFieldName(name))
    throw new TypeError(`field ${JSON.stringify(name)} has a character that HTTP does not allow`)
})

/** The last chunk of a chunked body, with the trailer fields. */
export function lastChunk(trailers: RawPairs): string {
  let text = '0\r\n'
  for (let i = 0; i < trailers.length; i += 2) {
    const name = trailers[i] as string
    const value = trailers[i + 1] as string
    if (isFieldName(name) && isFieldValue(value)) text += `${name}: ${value}\r\n`
  }
  return `${text}\r\n`
}
