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
