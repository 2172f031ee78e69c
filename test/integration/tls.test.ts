/** TLS at the data port: certificates by name, clients that show one, sessions, and what is no TLS at all. */
import { once } from 'node:events'
import http2 from 'node:http2'
import net from 'node:net'
import tls from 'node:tls'
import fc from 'fast-check'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { KeyPair, ServerTls } from '../../src/lib/tls/material.ts'
import type { HandshakeOutcome } from '../../src/lib/tls/terminator.ts'
import { type Authority, createAuthority } from '../support/authority.ts'
import { type DoorServer, type DoorServerOptions, startDoor } from '../support/door.ts'
import { eventually } from '../support/eventually.ts'

let authority: Authority
let own: KeyPair
let other: KeyPair
let app: KeyPair
beforeAll(() => {
  authority = createAuthority()
  own = authority.issue('/CN=localhost', 'DNS:localhost')
  other = authority.issue('/CN=other', 'DNS:other.example,DNS:*.wild.example')
  app = authority.issue('/CN=app-1/OU=mobile', 'DNS:app.example,URI:spiffe://example/app')
})

const ended: HandshakeOutcome[] = []
let server: DoorServer | undefined
afterEach(async () => {
  await server?.close()
  ended.length = 0
})

const SECRET = '00'.repeat(32)

async function serve(
  material: Partial<ServerTls> = {},
  options: DoorServerOptions = {},
): Promise<DoorServer> {
  const secured = { certificates: [own, other], client: undefined, ticketSecret: SECRET, ...material }
  server = await startDoor({ ...options, tls: secured, handshake: (outcome) => ended.push(outcome) })
  return server
}

async function connect({ port }: DoorServer, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    ca: authority.ca,
    servername: 'localhost',
    ...options,
  })
  await once(socket, 'secureConnect')
  return socket
}

/** The answer to one request, and the session that came with it. */
async function ask(socket: tls.TLSSocket, path = '/whole'): Promise<string> {
  let text = ''
  socket.on('data', (bytes) => (text += bytes))
  socket.write(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi`)
  await once(socket, 'close')
  return text
}

describe.each([true, false])('TLS, with the fast door: %s', (fastDoor) => {
  test('serves what plain HTTP serves', async () => {
    const socket = await connect(await serve({}, { fastDoor }), { ALPNProtocols: ['http/1.1'] })
    expect(socket.alpnProtocol).toBe('http/1.1')
    expect(await ask(socket)).toMatch(/^HTTP\/1\.1 200 OK[^]*"body":"hi"/)
    expect(ended).toEqual(['ok'])
  })

  test('serves HTTP/2 to clients that prefer it', async () => {
    const socket = await connect(await serve({}, { fastDoor }), { ALPNProtocols: ['h2', 'http/1.1'] })
    expect(socket.alpnProtocol).toBe('h2')
    const session = http2.connect('https://localhost', { createConnection: () => socket })
    const stream = session.request({ ':method': 'POST', ':path': '/whole' })
    let text = ''
    stream.on('data', (bytes) => (text += bytes)).end('hi')
    await once(stream, 'close')
    session.destroy()
    expect(text).toContain('"body":"hi"')
  })

  test.each([
    ['localhost', 'localhost'],
    ['other.example', 'other'],
    ['a.wild.example', 'other'],
    ['a.b.wild.example', 'localhost'],
    ['nobody.example', 'localhost'],
  ])('answers to the name %s with the certificate of %s', async (servername, name) => {
    const unchecked = { servername, checkServerIdentity: () => undefined }
    const socket = await connect(await serve({}, { fastDoor }), unchecked)
    expect(socket.getPeerCertificate().subject.CN).toBe(name)
    socket.destroy()
  })

  test('finds out who has left, as over plain HTTP', async () => {
    let aborted = false
    const hung: DoorServerOptions['serve'] = ({ signal }) =>
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => {
          aborted = true
          reject(signal.reason)
        }),
      )
    const running = await serve({}, { fastDoor, serve: hung })
    const socket = await connect(running)
    socket.write('GET /whole HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await eventually(() => expect(running.calls).toHaveLength(1))
    socket.destroy()
    await eventually(() => expect(aborted).toBe(true))
  })

  test('tells a client that speaks plain HTTP so', async () => {
    const { port } = await serve({}, { fastDoor })
    const socket = net.connect(port, '127.0.0.1')
    socket.end('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 400 [^]*begin the URL with https:/)
    await eventually(() => expect(ended).toEqual(['http']))
  })
})

test('a handshake that drips in is ended at the deadline', async () => {
  const { port } = await serve({}, { headerTimeoutMs: 150 })
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  const drip = setInterval(() => socket.write(Buffer.of(0x16)), 20)
  // Not `once`, which rejects: a byte that comes behind the end is answered with a reset.
  await new Promise((resolve) => socket.on('close', resolve))
  clearInterval(drip)
  expect(ended).toEqual(['late'])
})

test('TLS 1.1 is refused, and 1.2 is spoken', async () => {
  const running = await serve()
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  await expect(connect(running, old)).rejects.toThrow()
  const socket = await connect(running, { maxVersion: 'TLSv1.2' })
  expect(socket.getProtocol()).toBe('TLSv1.2')
  socket.destroy()
})

describe('a client certificate', () => {
  const asked = (isRequired: boolean, crl?: string) => ({ client: { ca: authority.ca, crl, isRequired } })

  test('is known to each call of its connection', async () => {
    const running = await serve(asked(true))
    const socket = await connect(running, app)
    expect(socket.authorized).toBe(true)
    expect(await ask(socket)).toContain('200 OK')
  })

  test('is needed where it is required, and not where it is optional', async () => {
    const required = await serve(asked(true))
    await expect(connect(required).then((socket) => ask(socket))).rejects.toThrow()
    await required.close()
    expect(await ask(await connect(await serve(asked(false))))).toContain('200 OK')
  })

  test.each([true, false])('that is not valid ends the handshake (required: %s)', async (isRequired) => {
    const stranger = createAuthority().issue('/CN=stranger', 'DNS:app.example')
    const running = await serve(asked(isRequired))
    const outcome = connect(running, stranger).then((socket) => ask(socket))
    await expect(outcome.catch(() => '')).resolves.toBe('')
    expect(running.calls).toEqual([])
  })

  test('that is revoked ends the handshake', async () => {
    const gone = authority.issue('/CN=gone', 'DNS:gone.example')
    const running = await serve(asked(true, authority.revoke(gone)))
    await expect(
      connect(running, gone)
        .then((socket) => ask(socket))
        .catch(() => ''),
    ).resolves.toBe('')
    expect(await ask(await connect(running, app))).toContain('200 OK')
  })
})

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a session of %s', (version) => {
  async function session(running: DoorServer, options: tls.ConnectionOptions = {}): Promise<Buffer> {
    const socket = await connect(running, { minVersion: version, maxVersion: version, ...options })
    let latest: Buffer | undefined = socket.getSession()
    socket.on('session', (bytes: Buffer) => (latest = bytes))
    await ask(socket)
    return latest as Buffer
  }

  async function isResumed(running: DoorServer, options: tls.ConnectionOptions): Promise<boolean> {
    const socket = await connect(running, { minVersion: version, maxVersion: version, ...options })
    const reused = socket.isSessionReused()
    await ask(socket)
    return reused
  }

  test('is resumed, by whichever worker has the secret', async () => {
    const first = await serve()
    const kept = await session(first)
    await first.close()
    expect(await isResumed(await serve(), { session: kept })).toBe(true)
  })

  test('is not resumed after the secret, the client CA or the CRL has changed, nor under another certificate', async () => {
    const running = await serve({ client: { ca: authority.ca, crl: undefined, isRequired: false } })
    const kept = await session(running)
    const unchecked = { checkServerIdentity: () => undefined }
    expect(await isResumed(running, { session: kept, servername: 'other.example', ...unchecked })).toBe(false)
    await running.close()
    const changes: Partial<ServerTls>[] = [
      { client: { ca: authority.ca, crl: undefined, isRequired: false }, ticketSecret: '11'.repeat(32) },
      { client: { ca: authority.ca + own.cert, crl: undefined, isRequired: false } },
      { client: { ca: authority.ca, crl: authority.revoke(), isRequired: false } },
    ]
    for (const change of changes) {
      const changed = await serve(change)
      expect(await isResumed(changed, { session: kept })).toBe(false)
      await changed.close()
    }
  })
})

test('whatever bytes come, it goes on serving', async () => {
  const running = await serve()
  const record = fc
    .uint8Array({ maxLength: 300 })
    .map((bytes) => Buffer.concat([Buffer.of(0x16, 3, 1, bytes.length >> 8, bytes.length & 255), bytes]))
  const hello = fc
    .uint8Array({ maxLength: 300 })
    .map((bytes) => Buffer.concat([Buffer.of(0x16, 3, 1, 1, 60, 1, 0, 1, 56, 3, 3), bytes]))
  await fc.assert(
    fc.asyncProperty(fc.oneof(record, hello, fc.uint8Array().map(Buffer.from)), async (bytes) => {
      const socket = net.connect(running.port, '127.0.0.1')
      socket.on('error', () => {}).resume()
      socket.end(bytes)
      await once(socket, 'close')
    }),
    { numRuns: 60 },
  )
  expect(await ask(await connect(running))).toContain('200 OK')
})
