/** Bodies that nobody needs whole pass through as they come, both ways, and a client who leaves ends the work. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { settings } from '../support/settings.ts'

interface Seen {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  text: string
  closed: boolean
}

let server: Server
let gateway: RunningGateway
let seen: Seen[] = []

beforeAll(async () => {
  server = createServer((request, response) => {
    const one: Seen = { request, response, text: '', closed: false }
    request.on('data', (chunk: Buffer) => {
      one.text += chunk.toString()
    })
    response.on('close', () => {
      one.closed = true
    })
    seen.push(one)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const base = settings({ backends: [{ url }], pool: { health: { path: 'off' } } })
  gateway = await startGateway({
    yaml: {
      ...base,
      routes: [
        { name: 'v1', match: { path: '/v1/*' }, pool: 'main', cache: { rows: 'never' } },
        {
          name: 'timed',
          match: { path: '/timed' },
          pool: 'main',
          protocol: 'opaque',
          timeout: '500ms',
          idleTimeout: '1s',
        },
        { name: 'opaque', pool: 'main', protocol: 'opaque' },
      ],
    },
  })
})
beforeEach(() => {
  seen = []
})
afterAll(async () => {
  await gateway?.stop()
  server?.closeAllConnections()
  server?.close()
})

function open(path: string, headers: Record<string, string> = {}) {
  const sent = request({ host: '127.0.0.1', port: gateway.port, path, method: 'POST', agent: false, headers })
  sent.on('error', () => {})
  const answered = once(sent, 'response').then(([response]) => response as IncomingMessage)
  answered.catch(() => {})
  return { sent, answered }
}

const first = () =>
  eventually(() => {
    const [one] = seen
    if (!one) throw new Error('the backend was not asked')
    return one
  })

it('the first byte of an opaque body is at the backend before the last is sent', async () => {
  const { sent, answered } = open('/upload')
  sent.write('begin')
  const one = await first()
  await eventually(() => expect(one.text).toBe('begin'))
  sent.end(' end')
  await eventually(() => expect(one.text).toBe('begin end'))
  one.response.end('done')
  const response = await answered
  expect(response.statusCode).toBe(200)
  expect((await response.toArray()).join('')).toBe('done')
})

it('an opaque body keeps its length', async () => {
  const { sent, answered } = open('/upload', { 'content-length': '9' })
  sent.end('123456789')
  const one = await first()
  expect(one.request.headers['content-length']).toBe('9')
  expect(one.request.headers['transfer-encoding']).toBeUndefined()
  one.response.end()
  await (await answered).toArray()
})

it.each([
  ['an opaque route', '/events'],
  ['a route that caches', '/v1/models/m:predict'],
])('the first event of %s is at the client before the last is made', async (_, path) => {
  const { sent, answered } = open(path, { 'content-type': 'application/json' })
  sent.end('{"instances":[1]}')
  const one = await first()
  one.response.writeHead(200, { 'content-type': 'text/event-stream' })
  one.response.write('data: 1\n\n')
  const response = await answered
  let text = ''
  response.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  await eventually(() => expect(text).toBe('data: 1\n\n'))
  const ended = once(response, 'end')
  one.response.end('data: 2\n\n')
  await ended
  expect(text).toBe('data: 1\n\ndata: 2\n\n')
})

it('the head of an event stream is there before its first event', async () => {
  const { sent, answered } = open('/events')
  sent.end('x')
  const one = await first()
  one.response.writeHead(200, { 'content-type': 'text/event-stream' })
  one.response.flushHeaders()
  const response = await answered
  expect(response.headers['content-type']).toBe('text/event-stream')
  sent.destroy()
  await eventually(() => expect(one.closed).toBe(true))
})

it.each([
  ['before the answer, on an opaque route', '/slow', false],
  ['before the answer, on a route that caches', '/v1/models/m:predict', false],
  ['in the middle of the answer', '/slow', true],
])('a client who leaves %s ends the backend’s work', async (_, path, begun) => {
  const { sent, answered } = open(path, { 'content-type': 'application/json' })
  sent.end(`{"instances":[${seen.length + 77}]}`)
  const one = await first()
  if (begun) {
    one.response.write('some')
    await answered
  }
  expect(one.closed).toBe(false)
  sent.destroy()
  await eventually(() => expect(one.closed).toBe(true))
  // Nothing of it is left in the gateway's books.
  await eventually(async () => {
    const { json } = await gateway.ask('/api/v1/pools/main')
    expect((json as { backends: { inflight: number }[] }).backends.map(({ inflight }) => inflight)).toEqual([
      0,
    ])
  })
})

it('a client who leaves a shared flight does not end it for the others', async () => {
  const body = '{"instances":[4242]}'
  const [one, other] = [open('/v1/models/m:predict'), open('/v1/models/m:predict')]
  one.sent.end(body)
  const asked = await first()
  other.sent.end(body)
  // The second has joined once the gateway has read it; leaving before would prove nothing.
  await eventually(async () => {
    const { json } = await gateway.ask('/api/v1/cache/stats')
    expect((json as { flights: number }).flights).toBe(1)
  })
  const left = () => gateway.metric('infergate_faults_total', { fault: 'callerLeft' })
  const before = await left()
  one.sent.destroy()
  await eventually(async () => expect(await left()).toBe(before + 1))
  asked.response.setHeader('content-type', 'application/json')
  asked.response.end('{"predictions":[1]}')
  const response = await other.answered
  expect(response.statusCode).toBe(200)
  expect((await response.toArray()).join('')).toBe('{"predictions":[1]}')
})

it('a caller with little time does not end what others wait for', async () => {
  const body = '{"instances":[4343]}'
  const one = open('/v1/models/m:predict', { 'x-request-deadline-ms': '400' })
  one.sent.end(body)
  const asked = await first()
  const other = open('/v1/models/m:predict')
  other.sent.end(body)
  expect((await one.answered).statusCode).toBe(504)
  expect(asked.closed).toBe(false)
  asked.response.setHeader('content-type', 'application/json')
  asked.response.end('{"predictions":[1]}')
  const response = await other.answered
  expect(response.statusCode).toBe(200)
  expect(response.headers['cache-status']).toContain('collapsed')
  expect(seen).toHaveLength(1)
})

it('a backend that was told of little time, and says so, is asked again for who has more', async () => {
  const body = '{"instances":[4444]}'
  const one = open('/v1/models/m:predict', { 'x-request-deadline-ms': '5000' })
  one.sent.end(body)
  const asked = await first()
  const other = open('/v1/models/m:predict')
  other.sent.end(body)
  await eventually(async () => {
    const { json } = await gateway.ask('/api/v1/cache/stats')
    expect((json as { flights: number }).flights).toBe(1)
  })
  // As whoever is in a hurry would be told.
  for (let n = 0; n < 3; n++) {
    const answer = await eventually<Seen>(() => seen[n] ?? expect.unreachable())
    const isTold = answer.request.headers['x-request-deadline-ms'] !== undefined
    answer.response.writeHead(isTold ? 504 : 200, { 'content-type': 'application/json' })
    answer.response.end(isTold ? '{"error":"no time"}' : '{"predictions":[1]}')
    if (!isTold) break
  }
  expect(asked.request.headers['x-request-deadline-ms']).toBeDefined()
  expect((await one.answered).statusCode).toBe(504)
  expect((await other.answered).statusCode).toBe(200)
})

it('a backend that breaks off its answer breaks off the client’s', async () => {
  const { sent, answered } = open('/broken')
  sent.end('x')
  const one = await first()
  one.response.writeHead(200, { 'content-length': '100' })
  one.response.write('half')
  const response = await answered
  const failed = once(response, 'error')
  response.resume()
  one.response.destroy()
  const [error] = (await failed) as [NodeJS.ErrnoException]
  expect(error.code).toBe('ECONNRESET')
})

/** A piece every 100 ms, so many times; then the end. */
function dripping(pieces: number, write: (piece: string) => void, end: () => void): void {
  let count = 0
  const drip = setInterval(() => {
    if (count++ < pieces) return write('piece ')
    clearInterval(drip)
    end()
  }, 100)
}

it('a stream that flows may take longer than the time of a call', async () => {
  const { sent, answered } = open('/timed', { 'content-length': '0' })
  sent.end()
  const { response } = await first()
  dripping(
    14,
    (piece) => response.write(piece),
    () => response.end('end'),
  )
  expect((await (await answered).toArray()).join('')).toBe(`${'piece '.repeat(14)}end`)
})

it('a stream that stands still ends after its idle time, at the backend as well', async () => {
  const { sent, answered } = open('/timed', { 'content-length': '0' })
  sent.end()
  const one = await first()
  one.response.write('begin')
  const response = await answered
  await expect(response.toArray()).rejects.toThrow(/aborted/)
  await eventually(() => expect(one.closed).toBe(true))
})

it('the head of a stream has the time of a call', async () => {
  const { sent, answered } = open('/timed', { 'content-length': '0' })
  sent.end()
  expect((await answered).statusCode).toBe(504)
  await eventually(async () => expect((await first()).closed).toBe(true))
})

it('a caller’s own deadline counts for a stream, too', async () => {
  const { sent, answered } = open('/timed', { 'content-length': '0', 'x-request-deadline-ms': '400' })
  sent.end()
  const one = await first()
  dripping(
    100,
    (piece) => one.response.write(piece),
    () => {},
  )
  await expect((await answered).toArray()).rejects.toThrow(/aborted/)
  await eventually(() => expect(one.closed).toBe(true))
})

it('a client that reads nothing is silent, and no fault of the backend', async () => {
  const before = await gateway.metric('infergate_backend_attempts_total', { ending: 'timeout' })
  const { sent, answered } = open('/timed', { 'content-length': '0' })
  sent.end()
  const one = await first()
  const pour = (): void => {
    while (!one.closed && one.response.write(Buffer.alloc(1 << 20))) continue
  }
  one.response.on('drain', pour)
  pour()
  ;(await answered).pause()
  await eventually(() => expect(one.closed).toBe(true), { timeoutMs: 10_000 })
  expect(await gateway.metric('infergate_backend_attempts_total', { ending: 'timeout' })).toBe(before)
  sent.destroy()
})

it('who still sends is not silent: an answer may wait for the end of what it is to', async () => {
  for (const headers of [{}, { 'content-length': String(14 * 6) }] as const) {
    seen = []
    const { sent, answered } = open('/timed', headers)
    sent.write('piece ')
    const one = await first()
    one.response.flushHeaders()
    const response = await answered
    dripping(
      13,
      (piece) => sent.write(piece),
      () => sent.end(),
    )
    one.request.on('end', () => one.response.end('heard all'))
    expect((await response.toArray()).join('')).toBe('heard all')
  }
})

it.each([
  ['fast', { 'content-length': String(12 << 20) }],
  ['http', { 'transfer-encoding': 'chunked' }],
])(
  'what a backend answers early reaches a client that sends first and reads then, at the door %s',
  async (_, headers) => {
    const { sent, answered } = open('/upload', headers)
    const piece = Buffer.alloc(64 << 10, 'x')
    const sending = (async () => {
      for (let i = 0; i < (12 << 20) / piece.length; i++) if (!sent.write(piece)) await once(sent, 'drain')
      sent.end()
    })()
    const one = await first()
    one.response.writeHead(413).end('too much')
    const response = await answered
    expect(response.statusCode).toBe(413)
    expect((await response.toArray()).join('')).toBe('too much')
    // All of it can be sent, or the connection has been closed behind the answer: nobody hangs.
    await Promise.race([sending, once(sent, 'close')])
  },
)
