/**
 * Parses the heads of backends' answers strictly (RFC 9112). A backend repeats its heads, for good or for a second. A head
 * that equals a recent one byte for byte is not parsed again, nor is what follows from it computed again.
 */
import type { RawPairs } from '../../core/call.ts'
import { TEXT, TOKEN } from '../../core/field-syntax.ts'
import type { ReplyNotes } from '../../core/reply.ts'
import { Generations } from '../../lib/generations.ts'
import { lastOf } from '../../lib/memo.ts'

/** The bound on the head of an answer, for either client. */
export const MAX_HEAD_BYTES = 64 * 1024
/** The most interim answers before the final one. */
export const MAX_INTERIM = 16

/** The bytes are not an answer, or its end is ambiguous. */
export class GarbledError extends Error {}

export interface ReplyHead extends ResponseFraming {
  readonly status: number
  readonly headers: RawPairs
  readonly notes: ReplyNotes
}

interface ResponseFraming {
  /** Undefined: to the end of the connection, unless chunked. */
  readonly length: number | undefined
  readonly chunked: boolean
  readonly keepAlive: boolean
  /** How long the backend keeps an idle connection open; undefined: it does not say. */
  readonly idleMs: number | undefined
}

/** Longer heads are parsed each time. */
const MAX_KEPT_BYTES = 1024
const heads = new Generations<ReplyHead>(256)

/** `text`: status line and fields, each with its line end. Throws GarbledError. */
export function readReplyHead(text: string): ReplyHead {
  return text.length > MAX_KEPT_BYTES ? read(text) : knownHead(text)
}

/** The last head is remembered apart: it mostly repeats, and then needs no lookup. */
const knownHead = lastOf((text: string): ReplyHead => {
  const known = heads.get(text)
  if (known) return known
  const head = read(text)
  heads.set(text, head)
  return head
})

const STATUS_LINE = new RegExp(String.raw`^HTTP/1\.([01]) ([1-9]\d\d)(?: ${TEXT})?\r\n`)

function read(text: string): ReplyHead {
  const line = STATUS_LINE.exec(text)
  if (!line) throw new GarbledError('it does not begin with a status line')
  const status = Number(line[2])
  const headers = fieldsOf(text, line[0].length)
  // The framing of an interim answer does not matter: it has no body.
  const framing = status < 200 ? NO_FRAMING : framingOf(headers, line[1] === '1', status)
  return { status, headers, notes: {}, ...framing }
}

const NO_FRAMING: ResponseFraming = { length: undefined, chunked: false, keepAlive: true, idleMs: undefined }

const FIELD = new RegExp(String.raw`(${TOKEN}):[ \t]*(${TEXT})\r\n`, 'y')

/** Parses the field lines from `at` to the end of the text, each with its line end. */
export function fieldsOf(text: string, at: number): string[] {
  const headers: string[] = []
  FIELD.lastIndex = at
  while (FIELD.lastIndex < text.length) {
    const field = FIELD.exec(text)
    // Broken: a folded line, a bare line break, a control character, or a space before the colon.
    if (!field) throw new GarbledError('a field line is broken')
    headers.push(field[1] as string, trimmedEnd(field[2] as string))
  }
  return headers
}

function trimmedEnd(value: string): string {
  const last = value.charCodeAt(value.length - 1)
  return last === 32 || last === 9 ? value.trimEnd() : value
}

/** The framing by RFC 9112, section 6.3, without its leniencies. */
function framingOf(headers: RawPairs, isHttp11: boolean, status: number): ResponseFraming {
  let length: number | undefined
  let chunked = false
  let keepAlive = isHttp11
  let idleMs: number | undefined
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    // No name of another length matters here.
    if (name.length !== 10 && name.length !== 14 && name.length !== 17) continue
    const value = headers[i + 1] as string
    switch (name.toLowerCase()) {
      case 'content-length':
        if (length !== undefined || !/^\d{1,15}$/.test(value))
          throw new GarbledError('Content-Length is broken')
        length = Number(value)
        break
      case 'transfer-encoding':
        if (chunked || !isHttp11 || value.toLowerCase() !== 'chunked' || status === 204)
          throw new GarbledError('Transfer-Encoding is not just "chunked"')
        chunked = true
        break
      case 'connection':
        if (!/^keep-alive$/i.test(value)) keepAlive = false
        break
      case 'keep-alive': {
        const timeout = /(?:^|[,\s])timeout=(\d{1,6})\b/i.exec(value)
        if (timeout) idleMs = Number(timeout[1]) * 1000
      }
    }
  }
  if (chunked && length !== undefined) throw new GarbledError('both Content-Length and Transfer-Encoding')
  return { length, chunked, keepAlive, idleMs }
}
