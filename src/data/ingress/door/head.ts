/**
 * The head parser of the fast door: reads the one plain form of a request head (RFC 9112) in one pass. It accepts less than
 * the standard on purpose: a head that two parsers could read differently is not plain, and is left to node:http.
 */
import type { RawPairs } from '../../../core/call.ts'
import { callersRequestId } from '../../../core/request-id.ts'
import type { HeadNotes } from '../../exchange/exchange.ts'

/** The longest head that is parsed here; longer heads are left to node:http. */
export const MAX_HEAD_BYTES = 8192
const MAX_FIELDS = 100
const MAX_LENGTH_DIGITS = 15

/** A plain head. */
export interface RequestHead {
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly target: string
  readonly headers: RawPairs
  /** Lower case. */
  readonly host: string
  /** The length of the body; 0 without one. */
  readonly length: number
  /** The length of the head in bytes, the empty line included. */
  readonly bytes: number
  /** The head as received. */
  readonly text: string
  /** The caller's own id of the request, or the empty string. */
  readonly requestId: string
  readonly notes: HeadNotes
}

/** `part`: plain so far, but incomplete. `other`: not plain. */
export type ParsedHead = RequestHead | 'part' | 'other'

const CR = 13
const LF = 10
const SPACE = 32
const COLON = 58

const table = (characters: string): Uint8Array => {
  const allowed = new Uint8Array(256)
  for (const character of characters) allowed[character.charCodeAt(0)] = 1
  return allowed
}
const ALNUM = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
// tchar of RFC 9110, section 5.6.2.
const TOKEN = table(`${ALNUM}!#$%&'*+-.^_\`|~`)
// pchar, "/" and "?" of RFC 3986.
const TARGET = table(`${ALNUM}-._~!$&'()*+,;=:@/?%`)
// A host with its port: a name, an IPv4 address, or an IPv6 address in brackets.
const AUTHORITY = /^(?:[\w.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i

// Fields that change the framing of the message, or ask for more than an answer.
const NOT_PLAIN = [
  'te',
  'expect',
  'trailer',
  'keep-alive',
  'content-encoding',
  'proxy-connection',
  'transfer-encoding',
].map((name) => Buffer.from(name))
const HOST = Buffer.from('host')
const CONNECTION = Buffer.from('connection')
const CONTENT_LENGTH = Buffer.from('content-length')
const UPGRADE = Buffer.from('upgrade')
/** An Upgrade may be ignored (RFC 9110, section 7.8), as the one in each request of Java's client is; not this one. */
const WEBSOCKET = /websocket/i
/** The values of Connection that a plain request may have. The fields it names are not forwarded. */
const PLAIN_CONNECTION =
  /^(?:keep-alive|upgrade|http2-settings)(?:, ?(?:keep-alive|upgrade|http2-settings))*$/i

// The positions of the fields in the head that is being parsed: four offsets a field. Parsing is synchronous, so one is enough.
const fields = new Int32Array(MAX_FIELDS * 4)

/** What there is from `start` on, without empty lines, which a server reads over in front of a request (RFC 9112, section 2.2). */
export function behindEmptyLines(bytes: Buffer, start = 0): Buffer | undefined {
  let at = start
  while (bytes[at] === CR && bytes[at + 1] === LF) at += 2
  return at < bytes.length ? bytes.subarray(at) : undefined
}

/** Parses the head at the beginning of `bytes`. The result does not refer to them. */
export function readHead(bytes: Buffer, maxBytes = MAX_HEAD_BYTES): ParsedHead {
  const end = Math.min(bytes.length, maxBytes)
  // A head without an end within the limit is too long to be plain.
  const unfinished = end === bytes.length && end < maxBytes ? 'part' : 'other'
  const method = readMethod(bytes, end)
  if (method === undefined) return 'other'
  if (method === '') return unfinished
  const targetStart = method.length + 1
  let at = targetStart
  while (at < end && TARGET[bytes[at] as number] === 1) at++
  if (at > targetStart && bytes[targetStart] !== 47) return 'other'
  const targetEnd = at
  const version = matches(bytes, at, end, VERSION)
  if (version !== true) return version === undefined ? unfinished : 'other'
  if (targetEnd === targetStart) return 'other'
  at += VERSION.length

  let count = 0
  for (;;) {
    if (at >= end) return unfinished
    if (bytes[at] === CR) break
    if (count === MAX_FIELDS) return 'other'
    const next = readField(bytes, at, { end, slot: count * 4 })
    if (next <= 0) return next === 0 ? unfinished : 'other'
    at = next
    count++
  }
  if (at + 1 >= end) return unfinished
  if (bytes[at + 1] !== LF) return 'other'
  return interpret(bytes, { end: at + 2, method, targetStart, targetEnd, count })
}

const VERSION = Buffer.from(' HTTP/1.1\r\n')
const METHODS = ['POST', 'GET', 'HEAD'] as const
const METHOD_BYTES = METHODS.map((method) => Buffer.from(`${method} `))

/** The method; the empty string if it is incomplete; undefined if it is none of the three. */
function readMethod(bytes: Buffer, end: number): RequestHead['method'] | '' | undefined {
  for (let i = 0; i < METHODS.length; i++) {
    const matched = matches(bytes, 0, end, METHOD_BYTES[i] as Buffer)
    if (matched !== false) return matched ? METHODS[i] : ''
  }
  return undefined
}

/** Whether `wanted` stands at `at`; undefined: equal so far, but incomplete. */
function matches(bytes: Buffer, at: number, end: number, wanted: Buffer): boolean | undefined {
  for (let i = 0; i < wanted.length; i++) {
    if (at + i >= end) return undefined
    if (bytes[at + i] !== wanted[i]) return false
  }
  return true
}

/** Parses one field line, and returns where the next begins; 0: incomplete; -1: not plain. */
function readField(bytes: Buffer, start: number, { end, slot }: { end: number; slot: number }): number {
  let at = start
  while (at < end && TOKEN[bytes[at] as number] === 1) at++
  if (at === end) return 0
  if (bytes[at] !== COLON || at === start) return -1
  fields[slot] = start
  fields[slot + 1] = at
  at++
  while (at < end && bytes[at] === SPACE) at++
  const valueStart = at
  let last = at
  for (; at < end; at++) {
    const byte = bytes[at] as number
    if (byte > 32 && byte < 127) last = at + 1
    else if (byte !== SPACE) break
  }
  if (at === end) return 0
  if (bytes[at] !== CR) return -1
  if (at + 1 === end) return 0
  if (bytes[at + 1] !== LF) return -1
  fields[slot + 2] = valueStart
  fields[slot + 3] = last
  return at + 2
}

interface Extent {
  readonly end: number
  readonly method: RequestHead['method']
  readonly targetStart: number
  readonly targetEnd: number
  readonly count: number
}

/** Interprets the fields: finds host and length, and checks that the framing is plain. */
function interpret(bytes: Buffer, extent: Extent): RequestHead | 'other' {
  const { end, method, targetStart, targetEnd, count } = extent
  const text = bytes.toString('latin1', 0, end)
  const headers = new Array<string>(count * 2)
  let host: string | undefined
  let length: number | undefined
  let connections = 0
  for (let i = 0; i < count; i++) {
    const nameStart = fields[i * 4] as number
    const nameEnd = fields[i * 4 + 1] as number
    const value = text.slice(fields[i * 4 + 2], fields[i * 4 + 3])
    headers[i * 2] = text.slice(nameStart, nameEnd)
    headers[i * 2 + 1] = value
    if (isName(bytes, nameStart, nameEnd, HOST)) {
      if (host !== undefined || !AUTHORITY.test(value)) return 'other'
      host = value.toLowerCase()
    } else if (isName(bytes, nameStart, nameEnd, CONTENT_LENGTH)) {
      if (length !== undefined || !isLength(value)) return 'other'
      length = Number(value)
    } else if (isName(bytes, nameStart, nameEnd, CONNECTION)) {
      if (++connections > 1 || !PLAIN_CONNECTION.test(value)) return 'other'
    } else if (isName(bytes, nameStart, nameEnd, UPGRADE)) {
      if (WEBSOCKET.test(value)) return 'other'
    } else if (NOT_PLAIN.some((name) => isName(bytes, nameStart, nameEnd, name))) {
      return 'other'
    }
  }
  // POST must have a length, and other methods none: servers treat anything else differently.
  if (host === undefined || (method === 'POST') !== (length !== undefined)) return 'other'
  const target = text.slice(targetStart, targetEnd)
  const requestId = callersRequestId(headers)
  return { method, target, headers, host, length: length ?? 0, bytes: end, text, requestId, notes: {} }
}

/** Digits, no sign, no leading zero, and exact as a number. */
function isLength(value: string): boolean {
  if (value.length === 0 || value.length > MAX_LENGTH_DIGITS) return false
  if (value.length > 1 && value.charCodeAt(0) === 48) return false
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code < 48 || code > 57) return false
  }
  return true
}

/** Compares a field's name with `name`, which is in lower case. Bit 32 is the case of a letter, and of letters only. */
export function isName(bytes: Buffer, start: number, end: number, name: Buffer): boolean {
  if (end - start !== name.length) return false
  for (let i = 0; i < name.length; i++) {
    const byte = bytes[start + i] as number
    const wanted = name[i] as number
    if (byte !== wanted && (byte | 32) !== wanted) return false
    if (byte !== wanted && (wanted < 97 || wanted > 122)) return false
  }
  return true
}
