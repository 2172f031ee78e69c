/** A route of the dialect `openai`: whatever is not kept streams through unharmed, to the pool that the model in the body names. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RunningGateway, startGateway } from '../support/gateway.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** A server whose answers say its name, and what it was sent. */
async function listen(handler: Handler): Promise<{ server: Server; url: string }> {
  const server = createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const echoing =
  (name: string): Handler =>
  (request, response) => {
    const hash = createHash('sha256')
    let length = 0
    request.on('data', (piece: Buffer) => {
      hash.update(piece)
      length += piece.length
    })
    request.on('end', () => {
      response.setHeader('content-type', 'application/json')
      const { method, url, headers } = request
      response.end(
        JSON.stringify({
          name,
          method,
          url,
          type: headers['content-type'],
          length,
          digest: hash.digest('hex'),
        }),
      )
    })
  }

let servers: Server[] = []
let gateway: RunningGateway
/** The streaming server's own: writes when told, and sees who leaves. */
let streaming: { request: IncomingMessage; response: ServerResponse } | undefined

beforeAll(async () => {
  const small = await listen(echoing('small'))
  const large = await listen(echoing('large'))
  const events = await listen((request, response) => {
    if (request.method === 'GET') return void response.end('{}')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    streaming = { request, response }
  })
  servers = [small.server, large.server, events.server]
  const pool = (url: string) => ({ backends: [{ url }], health: { path: 'off' } })
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      pools: { small: pool(small.url), large: pool(large.url), events: pool(events.url) },
      routes: [
        { name: 'small', match: { path: '/v1/*', model: 'small-*' }, protocol: 'openai', pool: 'small' },
        { name: 'large', match: { path: '/v1/*', model: 'large' }, protocol: 'openai', pool: 'large' },
        { name: 'events', match: { path: '/v1/*', model: 'stream' }, protocol: 'openai', pool: 'events' },
        { name: 'uploads', match: { path: '/v1/audio/*' }, protocol: 'openai', pool: 'large' },
        { name: 'files', match: { path: '/v1/files*' }, protocol: 'openai', pool: 'small' },
      ],
    },
  })
})
afterAll(async () => {
  await gateway?.stop()
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
})

const answeredBy = async (path: string, body: unknown) =>
  (await gateway.post(path, body)).json as { name: string }

describe('the model in the body', () => {
  it.each([
    '/v1/embeddings',
    '/v1/chat/completions',
    '/v1/completions',
    '/v1/responses',
    '/v1/images/generations',
  ])('names the pool of %s', async (path) => {
    expect(await answeredBy(path, { model: 'small-1', input: 'x' })).toMatchObject({
      name: 'small',
      url: path,
    })
    expect(await answeredBy(path, { input: 'x', model: 'large' })).toMatchObject({ name: 'large' })
  })

  it('that no route takes is a 404 in the dialect', async () => {
    for (const body of [{ model: 'huge', input: 'x' }, { input: 'x' }]) {
      const answer = await gateway.post('/v1/embeddings', body)
      expect(answer.status).toBe(404)
      expect(answer.json).toMatchObject({ error: { type: 'invalid_request_error', code: 'model_not_found' } })
      expect(answer.headers).toMatchObject({ 'x-should-retry': 'false', 'proxy-status': expect.any(String) })
    }
  })
})

it('uploads pass as they are, larger than anything that is held', async () => {
  const audio = randomBytes(24 << 20)
  const sent = request({
    port: gateway.port,
    path: '/v1/audio/transcriptions',
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=x' },
  })
  const answered = once(sent, 'response')
  for (let at = 0; at < audio.length; at += 1 << 20)
    if (!sent.write(audio.subarray(at, at + (1 << 20)))) await once(sent, 'drain')
  sent.end()
  const [response] = (await answered) as [IncomingMessage]
  let text = ''
  for await (const piece of response) text += String(piece)
  expect(JSON.parse(text)).toMatchObject({
    name: 'large',
    type: 'multipart/form-data; boundary=x',
    length: audio.length,
    digest: createHash('sha256').update(audio).digest('hex'),
  })
})

it('other methods and paths pass', async () => {
  expect((await gateway.get('/v1/files/f-1/content?x=1')).json).toMatchObject({
    name: 'small',
    method: 'GET',
    url: '/v1/files/f-1/content?x=1',
  })
})

it('a stream passes event by event, and a client who leaves ends it', async () => {
  const sent = request({
    port: gateway.port,
    path: '/v1/chat/completions',
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  })
  sent.end(JSON.stringify({ model: 'stream', stream: true, messages: [] }))
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  expect(response.headers['content-type']).toBe('text/event-stream')
  response.setEncoding('utf8')
  const pieces = response.iterator({ destroyOnReturn: false })
  // The next is written only once the one before was read.
  for (const word of ['one', 'two', 'three']) {
    streaming?.response.write(`data: {"delta":"${word}"}\n\n`)
    expect((await pieces.next()).value).toBe(`data: {"delta":"${word}"}\n\n`)
  }
  const left = once(streaming?.response as ServerResponse, 'close')
  response.destroy()
  sent.destroy()
  await left
})
