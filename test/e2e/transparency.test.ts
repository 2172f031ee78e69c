/** With the gateway or without it, the client reads the same answer: whatever HTTP allows goes through as it is. */

import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { exchange } from '../support/raw.ts'
import { settings } from '../support/settings.ts'

const PREDICTIONS = '{"predictions": [1]}'

let server: Server
let gateway: RunningGateway
const asked: { path: string; headers: IncomingMessage['headers']; body: string }[] = []

beforeAll(async () => {
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const body = (await request.toArray()).join('')
    const path = request.url ?? ''
    asked.push({ path, headers: request.headers, body })
    const status = /\/status\/(\d+)/.exec(path)?.[1]
    if (status) return void response.writeHead(Number(status), { etag: '"1"' }).end()
    if (path.includes('/cookies')) {
      response.writeHead(200, [
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
        ['X-Odd', 'caf\xe9'],
      ] as never)
      // A string would have Node send the head as UTF-8.
      return void response.end(Buffer.from('x'))
    }
    if (path.includes('/trailers')) {
      response.writeHead(200, { trailer: 'x-sum', 'content-type': 'text/plain' })
      response.write('body')
      response.addTrailers({ 'x-sum': '42' })
      return void response.end()
    }
    const json = { 'content-type': 'application/json' }
    if (path.includes('zipped') && /gzip/.test(String(request.headers['accept-encoding']))) {
      return void response.writeHead(200, { ...json, 'content-encoding': 'gzip' }).end(gzipSync(PREDICTIONS))
    }
    response.writeHead(200, json).end(PREDICTIONS)
  }
  server = createServer((request, response) => void serve(request, response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const base = settings({ backends: [{ url: `${url}/prefix` }], pool: { health: { path: 'off' } } })
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
afterAll(async () => {
  await gateway?.stop()
  server?.closeAllConnections()
  server?.close()
})

async function send(method: string, path: string, headers: Record<string, string> = {}, body = '') {
  const sent = request({ host: '127.0.0.1', port: gateway.port, path, method, headers, agent: false })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return { response, bytes: Buffer.concat(await response.toArray()) }
}

const last = () => asked.at(-1) as (typeof asked)[number]

describe('through the gateway', () => {
  it.each([200, 204, 304, 404, 418, 500])('a %i without a body stays one', async (status) => {
    const { response, bytes } = await send('GET', `/status/${status}`)
    expect(response.statusCode).toBe(status)
    expect(response.headers.etag).toBe('"1"')
    expect(bytes).toHaveLength(0)
    if (status === 204 || status === 304) expect(response.headers['content-length']).toBeUndefined()
  })

  it('HEAD has the head and no body', async () => {
    const { response, bytes } = await send('HEAD', '/thing')
    expect(response.statusCode).toBe(200)
    expect(response.headers['content-type']).toBe('application/json')
    expect(bytes).toHaveLength(0)
  })

  it.each(['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
    '%s goes through with path and query',
    async (method) => {
      await send(method, '/a%20b/c;d=1?q=%2f&q=2&empty')
      expect(last().path).toBe('/prefix/a%20b/c;d=1?q=%2f&q=2&empty')
    },
  )

  it('fields that occur twice stay two, and bytes beyond ASCII stay', async () => {
    const { head } = await exchange(
      gateway.port,
      'GET /cookies HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    )
    expect(head.match(/set-cookie: [ab]=\d/gi)).toEqual(['Set-Cookie: a=1', 'Set-Cookie: b=2'])
    expect(head).toMatch(/X-Odd: caf\xe9/)
  })

  it('trailers arrive', async () => {
    const { response, bytes } = await send('GET', '/trailers', { te: 'trailers' })
    expect(bytes.toString()).toBe('body')
    expect(response.trailers).toEqual({ 'x-sum': '42' })
  })

  it('hop-by-hop fields end, and the caller’s address goes on', async () => {
    await send('GET', '/thing', {
      connection: 'close, x-mine',
      'x-mine': '1',
      'x-yours': '2',
      'keep-alive': 'x',
    })
    const { headers } = last()
    expect(headers['x-mine']).toBeUndefined()
    expect(headers['keep-alive']).toBeUndefined()
    expect(headers).toMatchObject({ 'x-yours': '2', 'x-forwarded-for': '127.0.0.1', via: '1.1 infergate' })
  })

  it('a forged X-Forwarded-For is replaced', async () => {
    await send('GET', '/thing', { 'x-forwarded-for': '1.2.3.4', 'x-forwarded-proto': 'https' })
    expect(last().headers).toMatchObject({ 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http' })
  })

  it('the backend hears the coding the caller takes, where nothing is kept', async () => {
    const { response, bytes } = await send('GET', '/zipped', { 'accept-encoding': 'gzip' })
    expect(response.headers['content-encoding']).toBe('gzip')
    expect(gunzipSync(bytes).toString()).toBe(PREDICTIONS)
  })

  it('an answer that is kept is kept unencoded, for callers of every taste', async () => {
    const path = '/v1/models/zipped:predict'
    const body = '{"instances":[1]}'
    for (const coding of ['gzip', 'identity', 'br']) {
      const { response, bytes } = await send('POST', path, { 'accept-encoding': coding }, body)
      expect(response.headers['content-encoding']).toBeUndefined()
      expect(bytes.toString()).toBe(PREDICTIONS)
    }
  })

  it.each([
    ['an opaque call', '/upload'],
    ['a call that is kept', '/v1/models/chunks:predict'],
  ])('%s in chunks arrives whole', async (_, path) => {
    const sent = request({ host: '127.0.0.1', port: gateway.port, path, method: 'POST', agent: false })
    sent.write('{"instances"')
    sent.write(':[1]')
    sent.end('}')
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    await response.toArray()
    expect(response.statusCode).toBe(200)
    expect(last().body).toBe('{"instances":[1]}')
  })

  it('a caller who waits for 100 is told to go on', async () => {
    const sent = request({
      host: '127.0.0.1',
      port: gateway.port,
      path: '/v1/models/patient:predict',
      method: 'POST',
      agent: false,
      headers: { expect: '100-continue', 'content-length': '17' },
    })
    sent.flushHeaders()
    await once(sent, 'continue')
    sent.end('{"instances":[7]}')
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    await response.toArray()
    expect(response.statusCode).toBe(200)
    expect(last().headers.expect).toBeUndefined()
  })

  it('pipelined calls are answered in their order', async () => {
    const one = (n: number) => {
      const body = `{"instances":[${n}]}`
      return `POST /v1/models/pipe:predict HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    }
    const { status, body } = await exchange(gateway.port, one(100) + one(200))
    expect(status).toBe(200)
    expect(body.startsWith(PREDICTIONS)).toBe(true)
    // The second is on its way when the first is answered.
    await eventually(() => expect(last().body).toBe('{"instances":[200]}'))
  })

  it('the same bytes again and again get the same answer, alone and several at a time, and for their caller only', async () => {
    const body = '{"instances":[777]}'
    const bytes = (extra: string) =>
      `POST /v1/models/again:predict HTTP/1.1\r\nHost: a\r\n${extra}Content-Length: ${body.length}\r\n\r\n${body}`
    const before = asked.length
    for (let i = 0; i < 6; i++) {
      const reply = await exchange(gateway.port, bytes(''))
      expect(reply.body).toBe(PREDICTIONS)
      expect(reply.head).toMatch(i === 0 ? /fwd=miss/ : /infergate; hit/)
    }
    expect((await exchange(gateway.port, bytes('').repeat(3))).body.startsWith(PREDICTIONS)).toBe(true)
    expect(asked.length).toBe(before + 1)
    expect((await exchange(gateway.port, bytes('Authorization: Bearer b\r\n'))).head).toMatch(/fwd=miss/)
    expect((await exchange(gateway.port, bytes('Cache-Control: no-cache\r\n'))).head).not.toMatch(/; hit/)
    expect(asked.length).toBe(before + 3)
  })
})
