/**
 * Known ways to make two readers of HTTP disagree, as fixed cases: with the fast door or without it the gateway
 * understands the same, however the bytes are cut, and what is smuggled never becomes a call.
 */
import { describe, expect, it } from 'vitest'
import { createSide, difference, type Outcome } from '../support/doors.ts'

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n'
const post = (fields: readonly string[], body: string) =>
  ['POST /a HTTP/1.1', 'Host: h', ...fields, '', body].join('\r\n')
const get = (...fields: readonly string[]) => ['GET /a HTTP/1.1', ...fields, '', ''].join('\r\n')

interface Case {
  readonly name: string
  readonly bytes: string
  /** The statuses of the answers; what is refused ends the connection. */
  readonly statuses: readonly number[]
  /** `fast` where the fast door must have answered the first request. */
  readonly door?: 'fast' | 'http'
  /** It ends the connection without an answer. */
  readonly isForeign?: true
}

const cases: Case[] = [
  { name: 'a plain request', bytes: post(['Content-Length: 5'], 'hello'), statuses: [200], door: 'fast' },
  { name: 'a plain GET', bytes: get('Host: h'), statuses: [200], door: 'fast' },
  {
    name: 'two plain requests',
    bytes: post(['Content-Length: 5'], 'hello').repeat(2),
    statuses: [200, 200],
    door: 'fast',
  },
  {
    name: 'a body that looks like a request',
    bytes: post([`Content-Length: ${SMUGGLED.length}`], SMUGGLED) + post(['Content-Length: 0'], ''),
    statuses: [200, 200],
    door: 'fast',
  },
  // Length against coding.
  {
    name: 'CL.TE',
    bytes: post(['Content-Length: 6', 'Transfer-Encoding: chunked'], `0\r\n\r\n${SMUGGLED}`),
    statuses: [400],
  },
  {
    name: 'TE.CL',
    bytes: post(['Transfer-Encoding: chunked', 'Content-Length: 4'], `5c\r\n${SMUGGLED}\r\n0\r\n\r\n`),
    statuses: [400],
  },
  {
    name: 'TE.TE, the second spelt strangely',
    bytes: post(['Transfer-Encoding: chunked', 'Transfer-Encoding: x'], `0\r\n\r\n${SMUGGLED}`),
    statuses: [400],
  },
  {
    name: 'a coding behind a vertical tab',
    bytes: post(['Transfer-Encoding:\x0bchunked', 'Content-Length: 5'], 'hello'),
    statuses: [400],
  },
  {
    name: 'a coding with a space before the colon',
    bytes: post(['Transfer-Encoding : chunked', 'Content-Length: 5'], 'hello'),
    statuses: [400],
  },
  {
    name: 'a coding that is not chunked at the end',
    bytes: post(['Transfer-Encoding: chunked, identity'], `0\r\n\r\n${SMUGGLED}`),
    statuses: [400],
  },
  {
    name: 'a chunk size with a sign',
    bytes: post(['Transfer-Encoding: chunked'], `+5\r\nhello\r\n0\r\n\r\n`),
    statuses: [400],
  },
  {
    name: 'a chunk size that overflows',
    bytes: post(['Transfer-Encoding: chunked'], `fffffffffffffffff\r\nhello\r\n0\r\n\r\n`),
    statuses: [400],
  },
  // What is left of a coding would be taken for the content (RFC 9112, section 6.1).
  {
    name: 'a coding below the chunks',
    bytes: post(['Transfer-Encoding: gzip, chunked'], '5\r\nhello\r\n0\r\n\r\n'),
    statuses: [501],
    door: 'http',
  },
  {
    name: 'a coding in a field of its own',
    bytes: post(['Transfer-Encoding: gzip', 'Transfer-Encoding: chunked'], '5\r\nhello\r\n0\r\n\r\n'),
    statuses: [501],
    door: 'http',
  },
  {
    name: 'chunks in HTTP/1.0',
    bytes: 'POST /a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    statuses: [400],
    door: 'http',
  },
  // Lengths.
  {
    name: 'two equal lengths',
    bytes: post(['Content-Length: 5', 'Content-Length: 5'], 'hello'),
    statuses: [400],
  },
  {
    name: 'two different lengths',
    bytes: post(['Content-Length: 5', 'Content-Length: 0'], `hello${SMUGGLED}`),
    statuses: [400],
  },
  { name: 'a list of lengths', bytes: post(['Content-Length: 5, 5'], 'hello'), statuses: [400] },
  { name: 'a length with a plus', bytes: post(['Content-Length: +5'], 'hello'), statuses: [400] },
  { name: 'a length with a minus', bytes: post(['Content-Length: -5'], 'hello'), statuses: [400] },
  { name: 'a hexadecimal length', bytes: post(['Content-Length: 0x5'], 'hello'), statuses: [400] },
  { name: 'a length with a space inside', bytes: post(['Content-Length: 1 5'], 'hello'), statuses: [400] },
  { name: 'an empty length', bytes: post(['Content-Length:'], 'hello'), statuses: [400] },
  {
    name: 'a length beyond 64 bits',
    bytes: post(['Content-Length: 99999999999999999999'], 'hello'),
    statuses: [400],
  },
  {
    name: 'a GET with a body',
    bytes: get('Host: h', 'Content-Length: 5') + 'hello',
    statuses: [200],
    door: 'http',
  },
  { name: 'a POST without a length', bytes: post([], SMUGGLED), statuses: [200, 200], door: 'http' },
  // Lines.
  {
    name: 'a bare LF after the request line',
    bytes: 'POST /a HTTP/1.1\nHost: h\r\nContent-Length: 0\r\n\r\n',
    statuses: [400],
  },
  { name: 'bare LFs everywhere', bytes: 'GET /a HTTP/1.1\nHost: h\n\n', statuses: [400] },
  { name: 'a bare LF in a value', bytes: get('Host: h', 'X: a\nContent-Length: 40'), statuses: [400] },
  { name: 'a bare CR in a value', bytes: get('Host: h', 'X: a\rY: b'), statuses: [400] },
  { name: 'CR CR LF', bytes: 'GET /a HTTP/1.1\r\r\nHost: h\r\n\r\n', statuses: [400] },
  { name: 'a folded field', bytes: get('Host: h', 'X: a', ' Content-Length: 40'), statuses: [400] },
  { name: 'a field that begins with a space', bytes: 'GET /a HTTP/1.1\r\n Host: h\r\n\r\n', statuses: [400] },
  { name: 'a field without a name', bytes: get('Host: h', ': x'), statuses: [400] },
  { name: 'a field without a colon', bytes: get('Host: h', 'Content-Length'), statuses: [400] },
  { name: 'a space before the colon', bytes: get('Host: h', 'Content-Length : 40'), statuses: [400] },
  {
    name: 'empty lines before the request',
    bytes: `\r\n\r\n${get('Host: h')}`,
    statuses: [200],
    door: 'http',
  },
  // Bytes.
  { name: 'NUL in a value', bytes: get('Host: h', 'X: a\0b'), statuses: [400] },
  { name: 'NUL in a name', bytes: get('Host: h', 'X\0: a'), statuses: [400] },
  { name: 'NUL in the target', bytes: 'GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n', statuses: [400] },
  { name: 'a byte above 127 in the target', bytes: 'GET /\xe4 HTTP/1.1\r\nHost: h\r\n\r\n', statuses: [400] },
  { name: 'a byte above 127 in a value', bytes: get('Host: h', 'X: \xe4'), statuses: [200], door: 'http' },
  { name: 'a tab in a value', bytes: get('Host: h', 'X: a\tb'), statuses: [200], door: 'http' },
  { name: 'a space in the target', bytes: 'GET /a b HTTP/1.1\r\nHost: h\r\n\r\n', statuses: [400] },
  { name: 'dot segments', bytes: 'GET /../a HTTP/1.1\r\nHost: h\r\n\r\n', statuses: [400], door: 'fast' },
  {
    name: 'an encoded slash',
    bytes: 'GET /a%2fb HTTP/1.1\r\nHost: h\r\n\r\n',
    statuses: [400],
    door: 'fast',
  },
  {
    name: 'absolute form',
    bytes: 'GET http://other/a HTTP/1.1\r\nHost: h\r\n\r\n',
    statuses: [200],
    door: 'http',
  },
  {
    name: 'absolute form of another scheme',
    bytes: 'GET ftp://other/a HTTP/1.1\r\nHost: h\r\n\r\n',
    statuses: [400],
    door: 'http',
  },
  {
    name: 'absolute form with a user',
    bytes: 'GET http://me@other/a HTTP/1.1\r\nHost: h\r\n\r\n',
    statuses: [400],
    door: 'http',
  },
  // Host and version.
  { name: 'a space in Host', bytes: get('Host: a b'), statuses: [400], door: 'http' },
  { name: 'a slash in Host', bytes: get('Host: a/b'), statuses: [400], door: 'http' },
  { name: 'a user in Host', bytes: get('Host: me@h'), statuses: [400], door: 'http' },
  { name: 'a list in Host', bytes: get('Host: a, b'), statuses: [400], door: 'http' },
  { name: 'an empty Host', bytes: get('Host:'), statuses: [200], door: 'http' },
  { name: 'a broken address in Host', bytes: get('Host: [h]'), statuses: [400], door: 'http' },
  { name: 'an odd name in Host', bytes: get("Host: my_h~!$&'()*+;=%41:80"), statuses: [200], door: 'http' },
  { name: 'no Host', bytes: get('Accept: */*'), statuses: [400] },
  { name: 'two Hosts', bytes: get('Host: h', 'Host: i'), statuses: [400], door: 'http' },
  { name: 'HTTP/1.0', bytes: 'GET /a HTTP/1.0\r\nHost: h\r\n\r\n', statuses: [200], door: 'http' },
  { name: 'HTTP/0.9', bytes: 'GET /a\r\n\r\n', statuses: [400], door: 'http' },
  { name: 'a TLS greeting', bytes: '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', statuses: [400] },
  // Another protocol: whoever reads no HTTP/1.1 gets no answer in it (RFC 9112, section 2.2).
  { name: 'a broken preface of HTTP/2', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r', statuses: [] },
  { name: 'no preface at all', bytes: 'INVALID CONNECTION PREFACE\r\n\r\n', statuses: [], isForeign: true },
  { name: 'a line of RTSP', bytes: 'OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n', statuses: [], isForeign: true },
  { name: 'words that end with LF', bytes: 'a few words\n', statuses: [], isForeign: true },
  {
    name: 'words in the place of a second request',
    bytes: `${get('Host: h')}INVALID CONNECTION PREFACE\r\n\r\n`,
    statuses: [200, 400],
  },
  { name: 'a version in lower case', bytes: 'GET /a http/1.1\r\nHost: h\r\n\r\n', statuses: [400] },
  { name: 'a version that is none', bytes: 'GET /a HTTP/x\r\nHost: h\r\n\r\n', statuses: [400] },
  { name: 'two words', bytes: 'hello there\r\n\r\n', statuses: [400] },
  { name: 'words in more than 256 bytes', bytes: `GET /a ${'b'.repeat(300)}\r\n\r\n`, statuses: [400] },
  // Meaning.
  {
    name: 'Connection: close',
    bytes: get('Host: h', 'Connection: close'),
    statuses: [200],
    door: 'http',
  },
  {
    name: 'Connection naming a field',
    bytes: get('Host: h', 'Connection: keep-alive, X-A', 'X-A: 1'),
    statuses: [200],
    door: 'http',
  },
  {
    name: 'a wish for HTTP/2, as of Java’s client',
    bytes: get('Host: h', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAEAAEAA'),
    statuses: [200],
    door: 'fast',
  },
  {
    name: 'a wish for a WebSocket',
    bytes: get('Host: h', 'Connection: Upgrade', 'Upgrade: websocket'),
    statuses: [200],
    door: 'http',
  },
  {
    name: 'Connection with a field of its own',
    bytes: get('Host: h', 'Connection: Upgrade, X-Own', 'Upgrade: h2c'),
    statuses: [200],
    door: 'http',
  },
  {
    name: 'an encoded body',
    bytes: post(['Content-Length: 5', 'Content-Encoding: gzip'], 'hello'),
    statuses: [200],
    door: 'http',
  },
  // Size.
  {
    name: 'a head over 8 KiB',
    bytes: get('Host: h', `X: ${'y'.repeat(9000)}`),
    statuses: [200],
    door: 'http',
  },
  { name: 'a head over 16 KiB', bytes: get('Host: h', `X: ${'y'.repeat(17_000)}`), statuses: [431] },
  {
    name: 'very many fields',
    bytes: get('Host: h', ...Array.from({ length: 300 }, (_, i) => `X-${i}: ${i}`)),
    statuses: [200],
    door: 'http',
  },
  {
    name: 'a body over the limit',
    bytes: post(['Content-Length: 5000'], 'y'.repeat(100)),
    statuses: [413],
    door: 'fast',
  },
]

const fast = createSide({ fast: true })
const http = createSide({ fast: false })
const sockets = createSide({ fast: true, overSockets: true })
const bytesOf = ({ bytes }: Case) => Buffer.from(bytes, 'latin1')

function check(outcome: Outcome, wanted: Case): void {
  expect(outcome.statuses).toEqual(wanted.statuses)
  if (wanted.door) expect(outcome.doors[0]).toBe(wanted.door)
  if (wanted.name !== 'a POST without a length')
    expect(outcome.calls.join()).not.toContain('"GET","/smuggled"')
  if (wanted.isForeign) expect(outcome.closed).toBe(true)
  if (wanted.statuses.at(-1) === 400 && wanted.door === undefined) expect(outcome.closed).toBe(true)
}

describe('both doors make the same of', () => {
  it.each(cases)('$name', async (one) => {
    const ours = await fast([bytesOf(one)])
    check(ours, one)
    expect(difference(ours, await http([bytesOf(one)]))).toBeUndefined()
  })
})

describe('over a socket, in a piece or three, the gateway makes the same of', () => {
  it.each(cases)('$name', async (one) => {
    const bytes = bytesOf(one)
    check(await sockets([bytes]), one)
    const [third, middle] = [Math.ceil(bytes.length / 3), Math.ceil(bytes.length / 2)]
    check(
      await sockets([bytes.subarray(0, third), bytes.subarray(third, middle), bytes.subarray(middle)]),
      one,
    )
  })
})

describe('cut at any byte, the gateway makes the same of', () => {
  it.each(cases.filter(({ bytes }) => bytes.length < 1000))('$name', async (one) => {
    const bytes = bytesOf(one)
    for (let at = 1; at < bytes.length; at++)
      check(await fast([bytes.subarray(0, at), bytes.subarray(at)]), one)
  })
})
