/** WebSockets through the gateway: a real client and a real server, and what must not pass. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import type { SettingsInput } from '../../src/config/schema.ts'
import { SELF_SIGNED } from '../support/certificate.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'

const cleanup: (() => unknown)[] = []
afterAll(async () => {
  for (const clean of cleanup.toReversed()) await clean()
})

/** Echoes what it gets, with the number of sockets that are open; refuses `/refused`, breaks the rules at `/wrong`, and sends bytes at `/bytes`. */
async function startServer(isSecure = false) {
  const requests: IncomingMessage[] = []
  const plain = (request: IncomingMessage, response: ServerResponse) => {
    requests.push(request)
    response.end('plain')
  }
  const server: Server = isSecure ? createSecureServer(SELF_SIGNED, plain) : createServer(plain)
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => [...offered][0] ?? false,
  })
  server.on('upgrade', (request, socket, head) => {
    requests.push(request)
    const path = request.url ?? ''
    if (path.endsWith('/refused'))
      return void socket.end('HTTP/1.1 403 Forbidden\r\nX-Own: 1\r\nContent-Length: 2\r\n\r\nno')
    if (path.endsWith('/wrong'))
      return void socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tls\r\n\r\n',
      )
    if (path.endsWith('/bytes'))
      return void socket.end(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 100 is no answer here',
      )
    sockets.handleUpgrade(request, socket, head, (open) => {
      open.on('message', (data, isBinary) => open.send(data, { binary: isBinary }))
      if (path.endsWith('/greeting')) open.send('welcome')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanup.push(() => {
    for (const open of sockets.clients) open.terminate()
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `${isSecure ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    sockets,
  }
}

let backend: Awaited<ReturnType<typeof startServer>>
let gateway: RunningGateway

beforeAll(async () => {
  backend = await startServer()
  gateway = await startGateway({ yaml: settings() })
  cleanup.push(() => gateway.stop())
})

function settings(server: SettingsInput['server'] = {}): SettingsInput {
  const pool = {
    backends: [{ url: backend.url, concurrency: 2 }],
    health: { path: 'off' },
    queue: { max: 0 },
  }
  return {
    server: { workers: 1, ...server },
    pools: { realtime: pool },
    routes: [
      {
        name: 'brief',
        match: { path: '/v1/brief' },
        protocol: 'openai',
        pool: 'realtime',
        idleTimeout: '300ms',
      },
      { name: 'realtime', match: { path: '/v1/*' }, protocol: 'openai', pool: 'realtime' },
      {
        name: 'raw',
        match: { path: '/raw/*' },
        protocol: 'opaque',
        pool: 'realtime',
        cache: { enabled: true },
      },
      { name: 'models', match: { path: '/v2/*' }, protocol: 'oip', pool: 'realtime' },
    ],
  }
}

const address = (path: string) => `ws://127.0.0.1:${gateway.port}${path}`

async function open(path: string, protocols: string[] = [], headers = {}): Promise<WebSocket> {
  const socket = new WebSocket(address(path), protocols, { headers, perMessageDeflate: false })
  cleanup.push(() => socket.terminate())
  await once(socket, 'open')
  return socket
}

async function said(socket: WebSocket): Promise<Buffer> {
  const [data] = (await once(socket, 'message')) as [Buffer]
  return data
}

const HANDSHAKE = [
  'Host: gateway',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]

/** Sends text and resolves with all that comes until the connection ends. */
async function talk(text: string): Promise<string> {
  const socket: Socket = connect(gateway.port, '127.0.0.1').setEncoding('latin1')
  cleanup.push(() => socket.destroy())
  let answer = ''
  socket.on('data', (piece: string) => (answer += piece)).on('error', () => {})
  socket.write(text)
  await once(socket, 'close')
  return answer
}

describe('a WebSocket', () => {
  it.each(['/v1/realtime?model=m', '/raw/socket'])('passes both ways at %s', async (path) => {
    const socket = await open(path, ['realtime', 'other'], { authorization: 'Bearer k', 'x-own': '1' })
    expect(socket.protocol).toBe('realtime')
    const { url, headers } = backend.requests.at(-1) as IncomingMessage
    expect(url).toBe(path)
    expect(headers).toMatchObject({
      connection: 'upgrade',
      upgrade: 'websocket',
      'x-own': '1',
      'sec-websocket-version': '13',
      'x-forwarded-for': '127.0.0.1',
      via: '1.1 infergate',
    })
    for (const size of [0, 1, 126, 70_000, 3_000_000]) {
      socket.send(Buffer.alloc(size, 7))
      expect(await said(socket)).toEqual(Buffer.alloc(size, 7))
    }
    socket.close(4_001, 'enough')
    expect(await once(socket, 'close')).toEqual([4_001, Buffer.from('enough')])
  })

  it('may hear the server first', async () => {
    const socket = new WebSocket(address('/v1/greeting'))
    expect((await said(socket)).toString()).toBe('welcome')
    socket.terminate()
  })

  it('passes bytes as they are, past a cache that says why', async () => {
    const answer = await talk(`GET /raw/bytes HTTP/1.1\r\n${HANDSHAKE.join('\r\n')}\r\n\r\n`)
    expect(answer).toMatch(/\r\ncache-status: infergate; fwd=bypass; fwd-status=101; detail="?upgrade"?\r\n/i)
    expect(answer).toMatch(/\r\n\r\nHTTP\/1\.1 100 is no answer here$/)
  })

  it('takes a place of its backend as long as it is open', async () => {
    const inflight = async () => {
      const { json } = await gateway.ask('/api/v1/pools/realtime')
      return (json as { backends: { inflight: number }[] }).backends[0]?.inflight
    }
    await eventually(async () => expect(await inflight()).toBe(0))
    const [first, second] = [await open('/v1/a'), await open('/v1/b')]
    expect(await inflight()).toBe(2)
    const third = new WebSocket(address('/v1/c'))
    const [, answer] = (await once(third, 'unexpected-response')) as [unknown, IncomingMessage]
    expect(answer.statusCode).toBe(503)
    first.close()
    await eventually(async () => expect(await inflight()).toBe(1))
    // A caller who leaves without a word gives its place back, too.
    second.terminate()
    await eventually(async () => expect(await inflight()).toBe(0))
    expect(backend.sockets.clients.size).toBe(0)
  })

  it('ends when both sides are silent', async () => {
    const socket = await open('/v1/brief')
    await once(socket, 'close')
    await eventually(() => expect(backend.sockets.clients.size).toBe(0))
  })

  it('ends with its backend', async () => {
    const socket = await open('/v1/realtime')
    for (const client of backend.sockets.clients) client.terminate()
    await once(socket, 'close')
  })

  it.each([
    ['says a word now and then', 1, 300],
    ['goes on sending', 1 << 20, 20],
  ])('ends with its backend, too, where the client does not end its side and %s', async (_, size, every) => {
    const client = { port: gateway.port, host: '127.0.0.1', allowHalfOpen: true }
    const socket = connect(client)
      .on('error', () => {})
      .resume()
    cleanup.push(() => socket.destroy())
    const [ended, closed] = ['end', 'close'].map((event) => new Promise((seen) => socket.once(event, seen)))
    socket.write(`GET /v1/realtime HTTP/1.1\r\n${HANDSHAKE.join('\r\n')}\r\n\r\n`)
    await eventually(() => expect(backend.sockets.clients.size).toBe(1))
    for (const server of backend.sockets.clients) server.terminate()
    await ended
    const sending = setInterval(() => socket.writable && socket.write(Buffer.alloc(size)), every)
    await closed
    clearInterval(sending)
  })

  it('holds up a sender whose reader does not read', async () => {
    const socket = await open('/raw/slow')
    await eventually(() => expect(backend.sockets.clients.size).toBe(1))
    const [server] = backend.sockets.clients
    server?.pause()
    for (let n = 0; n < 64; n++) socket.send(Buffer.alloc(1 << 20))
    await eventually(() => expect(socket.bufferedAmount).toBeLessThan(60 << 20))
    // What the gateway holds is bounded: most of it stays with the sender.
    expect(socket.bufferedAmount).toBeGreaterThan(32 << 20)
    socket.terminate()
    server?.resume()
    await eventually(() => expect(backend.sockets.clients.size).toBe(0))
  })
})

describe('an upgrade that does not come to be', () => {
  it('is answered as the backend answers, and the connection ends', async () => {
    const answer = await talk(`GET /v1/refused HTTP/1.1\r\n${HANDSHAKE.join('\r\n')}\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 403 /)
    expect(answer).toMatch(/x-own: 1/i)
    expect(answer).toMatch(/connection: close/i)
    expect(answer).toMatch(/\r\n\r\nno$/)
  })

  it('is a fault where the backend changes to another protocol', async () => {
    expect(await talk(`GET /v1/wrong HTTP/1.1\r\n${HANDSHAKE.join('\r\n')}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 502 /,
    )
  })

  it('is none on a route of another dialect: the call is an ordinary one', async () => {
    const answer = await talk(`GET /v2/models/m HTTP/1.1\r\n${HANDSHAKE.join('\r\n')}\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(backend.requests.at(-1)?.headers.upgrade).toBeUndefined()
  })

  it.each([
    ['two protocols', HANDSHAKE.with(2, 'Upgrade: websocket, h2c')],
    ['no key', HANDSHAKE.slice(0, 4)],
    ['two keys', [...HANDSHAKE, 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==']],
    ['another version', HANDSHAKE.with(3, 'Sec-WebSocket-Version: 8')],
    ['no word of it in Connection', HANDSHAKE.with(1, 'Connection: close')],
  ])('is none with %s', async (_, fields) => {
    const answer = await talk(`GET /v1/x HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(backend.requests.at(-1)?.headers.upgrade).toBeUndefined()
  })

  it('lets nothing through that is sent before the answer', async () => {
    const before = backend.requests.length
    const smuggled = 'GET /v1/smuggled HTTP/1.1\r\nHost: gateway\r\n\r\n'
    const answer = await talk(`GET /v1/x HTTP/1.1\r\n${HANDSHAKE.join('\r\n')}\r\n\r\n${smuggled}`)
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1)
    expect(backend.requests.length).toBe(before)
  })
})

it('a drain waits for WebSockets as for calls, and ends them at its time-out', async () => {
  const other = await startGateway({ yaml: settings({ drainTimeout: '500ms' }) })
  const socket = new WebSocket(`ws://127.0.0.1:${other.port}/v1/realtime`)
  await once(socket, 'open')
  const stopped = other.stop()
  socket.send('still here')
  expect((await said(socket)).toString()).toBe('still here')
  await once(socket, 'close')
  expect(await stopped).toBe(0)
})

it('passes through TLS on both sides, and in every worker', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'infergate-ws-'))
  cleanup.push(() => rmSync(folder, { recursive: true }))
  const [cert, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')]
  writeFileSync(cert, SELF_SIGNED.cert)
  writeFileSync(key, SELF_SIGNED.key)
  const { url } = await startServer(true)
  const secure = await startGateway({
    yaml: {
      server: { workers: 2, tls: { certificates: [{ cert, key }] } },
      pools: { realtime: { backends: [{ url }], health: { path: 'off' }, tls: { ca: cert } } },
      routes: [{ name: 'realtime', protocol: 'openai', pool: 'realtime' }],
    },
  })
  cleanup.push(() => secure.stop())
  for (let n = 0; n < 8; n++) {
    const socket = new WebSocket(`wss://127.0.0.1:${secure.port}/v1/realtime`, { ca: SELF_SIGNED.cert })
    await once(socket, 'open')
    socket.send(`message ${n}`)
    expect((await said(socket)).toString()).toBe(`message ${n}`)
    socket.close()
    await once(socket, 'close')
  }
})
