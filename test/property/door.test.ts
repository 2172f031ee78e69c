/**
 * For any bytes, the gateway with the fast door understands what it understands without it. The long version, some
 * million cases: npm run test:fuzz
 */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { compare, createSide } from '../support/doors.ts'

const seconds = Number(process.env['INFERGATE_FUZZ_SECONDS'] ?? 10)

const oftenly = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) })

const lineEnd = oftenly('\r\n', '\n', '\r', '\r\r\n', '\r\n\r\n', '\n\r\n')
// CONNECT makes node:http drop the connection with whatever is still to be answered; its own case is elsewhere.
const method = oftenly('POST', 'GET', 'HEAD', 'PUT', 'QUERY', 'OPTIONS', 'post', 'PO ST', 'PRI', 'GETX', '')
const target = oftenly(
  '/a',
  '/a?b=c',
  '/',
  '*',
  'a',
  '/a b',
  '/a#b',
  '/%2f',
  '/ä',
  '/\0',
  '/"<>',
  'http://h/a',
  '/a\\b',
  '/../x',
  '//x',
)
const version = oftenly(
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/2.0',
  'HTTP/1.1 ',
  ' HTTP/1.1',
  'http/1.1',
  'HTTP/1.2',
  'HTTP/1.',
  '',
)
const body = fc.oneof(
  fc.constantFrom('', 'x', 'hello', '{"instances":[[1,2]]}', '0\r\n\r\n', '5\r\nhello\r\n0\r\n\r\n'),
  fc.constantFrom(
    'GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n',
    'POST /s HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc',
  ),
)
const field = fc.constantFrom(
  'Accept: */*',
  'X-Empty:',
  'X-Spaces:   a b  ',
  'X-Tab:\ta',
  'X-Inner:a\tb',
  'X-High: \xe4',
  'X-Nul: a\0b',
  'X-Bell: a\x07',
  'X-Del: a\x7f',
  'X Space: a',
  'X-Before : a',
  ' X-Folded: a',
  'X-Fold: a\r\n b',
  'X-Lf: a\nY: b',
  'X-Cr: a\rY: b',
  ': nameless',
  'no colon',
  'Host: h',
  'Host: other',
  'Host:',
  'Host: a b',
  'hOST: h:80',
  'Content-Length: 5',
  'Content-Length: 0',
  'Content-Length: +5',
  'Content-Length: -1',
  'Content-Length: 05',
  'Content-Length: 5, 5',
  'Content-Length: 0x5',
  'Content-Length: 5 ',
  'Content-Length:',
  'Content-Length: 99999999999999999999',
  'Content-Length: 5000',
  'content-length: 3',
  'Content_Length: 3',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding:\x0bchunked',
  'Transfer-Encoding : chunked',
  'TE: trailers',
  'Trailer: X',
  'Expect: 100-continue',
  'Upgrade: h2c',
  'Upgrade: websocket',
  'HTTP2-Settings: AAEAAEAA',
  'Connection: Upgrade, HTTP2-Settings',
  'Connection: close',
  'Connection: keep-alive',
  'Connection: Keep-Alive',
  'Connection: keep-alive, close',
  'Connection: upgrade',
  'Connection: X-Empty',
  'Proxy-Connection: close',
  'Keep-Alive: timeout=1',
  'Content-Encoding: gzip',
  `X-Long: ${'y'.repeat(9000)}`,
  `X-Longer: ${'y'.repeat(17_000)}`,
)

const request = fc
  .record({
    method,
    target,
    version,
    end: lineEnd,
    host: oftenly('Host: h', '', 'Host: h\r\nHost: h'),
    fields: fc.array(field, { maxLength: 3 }),
    body,
    length: oftenly('exact', 'none', 'short', 'long', 'chunked'),
    many: oftenly(0, 0, 0, 99, 120),
  })
  .map((made) => {
    const { body, length } = made
    const size = body.length
    const framing =
      length === 'chunked'
        ? 'Transfer-Encoding: chunked'
        : `Content-Length: ${length === 'short' ? Math.max(0, size - 1) : length === 'long' ? size + 2 : size}`
    const bodiless = made.method === 'GET' || made.method === 'HEAD' || length === 'none'
    const lines = [
      `${made.method} ${made.target} ${made.version}`,
      ...(made.host ? [made.host] : []),
      ...(bodiless && size === 0 ? [] : [framing]),
      ...made.fields,
      ...Array.from({ length: made.many }, (_, i) => `X-${i}: ${i}`),
    ]
    const sent = length === 'chunked' && size > 0 ? `${size.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body
    return `${lines.join(made.end)}${made.end}${made.end}${sent}`
  })

/** What a byte may be turned into: everything that means something to some reader. */
const nasty = fc.constantFrom(0, 9, 10, 11, 13, 32, 34, 44, 48, 58, 59, 92, 127, 128, 255)
const scratch = fc.array(
  fc.record({ at: fc.nat(400), kind: fc.constantFrom('replace', 'insert', 'delete'), byte: nasty }),
  { maxLength: 2 },
)

const conversations = fc
  .record({
    requests: fc.array(request, { minLength: 1, maxLength: 3 }),
    scratches: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: scratch }),
    cuts: fc.array(fc.nat(600), { maxLength: 3 }),
  })
  .map(({ requests, scratches, cuts }) => {
    let bytes = Buffer.from(requests.join(''), 'latin1')
    for (const { at, kind, byte } of scratches) {
      const where = at % (bytes.length + 1)
      const rest = bytes.subarray(kind === 'insert' ? where : where + 1)
      const middle = kind === 'delete' ? [] : [Buffer.from([byte])]
      bytes = Buffer.concat([bytes.subarray(0, where), ...middle, rest])
    }
    const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
    return places
      .slice(1)
      .map((to, i) => bytes.subarray(places[i], to))
      .filter((piece) => piece.length > 0)
  })

it(
  'understands any bytes as node:http does',
  async () => {
    const fast = createSide({ fast: true })
    const http = createSide({ fast: false })
    const doors = { fast: 0, http: 0 }
    const run = await fc.check(
      fc.asyncProperty(conversations, async (pieces) => {
        const { doors: used, differs } = await compare(fast, http, pieces)
        for (const door of used) doors[door as 'fast' | 'http']++
        if (differs !== undefined)
          throw new Error(`${JSON.stringify(Buffer.concat(pieces).toString('latin1'))}\n${differs}`)
      }),
      { numRuns: 10_000_000, interruptAfterTimeLimit: seconds * 1000, markInterruptAsFailure: false },
    )
    console.info(`${run.numRuns} conversations, seed ${run.seed}; answered by ${JSON.stringify(doors)}`)
    // The counterexample in its shortest form, as text rather than as a list of bytes.
    if (run.failed) throw run.errorInstance
    // The comparison says something only where both doors were at work.
    expect(doors.fast).toBeGreaterThan(run.numRuns / 20)
    expect(doors.http).toBeGreaterThan(run.numRuns / 20)
  },
  (seconds + 30) * 1000,
)
