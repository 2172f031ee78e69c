/** The client of backends: what both ways of talking to one promise, and what our own promises on top. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import { Clients } from '../../src/data/backend/clients.ts'
import type { BackendRequest, ClientOptions } from '../../src/data/backend/exchange.ts'
import { collected, type Incoming } from '../../src/data/backend/incoming.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { SELF_SIGNED } from '../support/certificate.ts'
import { eventually } from '../support/eventually.ts'
import { fails, textLater, textOf } from '../support/exchanges.ts'

type Talk = (socket: net.Socket, request: string, count: number) => unknown

interface Scripted {
  readonly url: string
  readonly connections: number
  readonly requests: string[]
  readonly sockets: Set<net.Socket>
}

const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

/** A server that calls `talk` for each whole request it gets; requests have a Content-Length or no body. */
async function backend(talk: Talk, hello?: (socket: net.Socket) => void): Promise<Scripted> {
  const requests: string[] = []
  const sockets = new Set<net.Socket>()
  let connections = 0
  const server = net.createServer({ noDelay: true }, (socket) => {
    connections++
    sockets.add(socket)
    let text = ''
    socket.setEncoding('latin1')
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    socket.on('data', (piece: string) => {
      text += piece
      for (;;) {
        const end = text.indexOf('\r\n\r\n')
        const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
        if (end < 0 || text.length < end + 4 + length) return
        requests.push(text.slice(0, end + 4 + length))
        text = text.slice(end + 4 + length)
        talk(socket, requests.at(-1) as string, requests.length)
      }
    })
    hello?.(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as net.AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    get connections() {
      return connections
    },
    requests,
    sockets,
  }
}

function clients(own: boolean, options: Partial<ClientOptions> = {}): Clients {
  const wheel = new Wheel(systemClock)
  const made = new Clients(
    { connections: 4, connectTimeoutMs: 500, bodyTimeoutMs: 2000, refuse: () => undefined, ...options },
    own ? wheel : undefined,
  )
  closers.push(async () => {
    await made.close()
    wheel.close()
  })
  return made
}

const NEVER = new AbortController().signal
const asked = (url: string, changes: Partial<BackendRequest> = {}): BackendRequest => ({
  url,
  method: 'POST',
  target: '/p?q=1',
  headers: ['Content-Type', 'application/json', 'X-Twice', 'a', 'X-Twice', 'b'],
  body: Buffer.from('hello'),
  contentLength: undefined,
  signal: NEVER,
  headTimeoutMs: 2000,
  ...changes,
})
const ok = (body = 'fine') =>
  `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`

describe.each([
  ['undici', false],
  ['our own client', true],
])('%s', (_, own) => {
  it('sends a request and gives the answer, on one connection again and again', async () => {
    const server = await backend((socket, _request, count) => socket.write(ok(`answer ${count}`)))
    const made = clients(own)
    for (const n of [1, 2, 3]) {
      const exchange = await made.send(asked(server.url))
      expect(exchange.reply.status).toBe(200)
      expect(exchange.reply.headers).toEqual(['Content-Type', 'text/plain', 'Content-Length', '8'])
      expect(await textOf(exchange)).toBe(`answer ${n}`)
      expect(await exchange.over).toBeUndefined()
    }
    expect(server.connections).toBeLessThanOrEqual(own ? 1 : 2)
    expect(server.requests[0]).toMatch(/^POST \/p\?q=1 HTTP\/1\.1\r\n/)
    expect(server.requests[0]).toContain('X-Twice: a\r\nX-Twice: b\r\n')
    expect(server.requests[0]?.endsWith('\r\n\r\nhello')).toBe(true)
  })

  it('puts the path of the backend before the target', async () => {
    const server = await backend((socket) => socket.write(ok()))
    await textOf(await clients(own).send(asked(`${server.url}/prefix`)))
    expect(server.requests[0]).toMatch(/^POST \/prefix\/p\?q=1 /)
  })

  it.each([
    [
      'chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n',
      'abcdefg',
      ['X-Sum', '7'],
    ],
    ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc', 'abc', []],
    ['no body', 'HTTP/1.1 204 No Content\r\n\r\n', '', []],
  ])('reads an answer with %s, however it is cut', async (_name, bytes, text, trailers) => {
    let at = 0
    const server = await backend(async (socket) => {
      socket.write(bytes.slice(0, at))
      await new Promise((resolve) => setImmediate(resolve))
      socket.write(bytes.slice(at))
    })
    const made = clients(own)
    for (at = 1; at < bytes.length; at++) {
      const exchange = await made.send(asked(server.url))
      expect(await textOf(exchange)).toBe(text)
      expect(exchange.reply.trailers?.() ?? []).toEqual(trailers)
    }
    expect(server.connections).toBeLessThanOrEqual(own ? 1 : 2)
  })

  it('reads an answer to the end of the connection', async () => {
    const server = await backend((socket) => void socket.end('HTTP/1.1 200 OK\r\n\r\nto the end'))
    const made = clients(own)
    expect(await textOf(await made.send(asked(server.url)))).toBe('to the end')
    expect(await textOf(await made.send(asked(server.url)))).toBe('to the end')
    expect(server.connections).toBe(2)
  })

  it('reads no body behind HEAD', async () => {
    const server = await backend((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n'))
    const made = clients(own)
    for (const _ of [1, 2]) {
      const exchange = await made.send(asked(server.url, { method: 'HEAD', body: undefined }))
      expect(await textOf(exchange)).toBe('')
      expect(exchange.reply.headers).toEqual(['Content-Length', '100'])
    }
    expect(server.connections).toBeLessThanOrEqual(own ? 1 : 2)
  })

  it('opens a new connection after Connection: close', async () => {
    const server = await backend((socket) =>
      socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx'),
    )
    const made = clients(own)
    for (const _ of [1, 2]) expect(await textOf(await made.send(asked(server.url)))).toBe('x')
    expect(server.connections).toBe(2)
  })

  it.each([
    ['no HTTP at all', 'what?\r\n\r\n'],
    ['a broken status', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['a signed length', 'HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na'],
    [
      'a length and a coding',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a space before a colon', 'HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n'],
    ['a NUL in a field', 'HTTP/1.1 200 OK\r\nX: a\0\r\nContent-Length: 0\r\n\r\n'],
  ])('calls %s garbled', async (_name, bytes) => {
    const server = await backend((socket) => socket.write(bytes))
    const error = await fails(clients(own).send(asked(server.url)))
    expect(error).toMatchObject({ code: 'backendGarbled' })
  })

  it('passes interim answers over, however they are cut', async () => {
    const hints = 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n'
    const body = 'HTTP/1.1 100 Continue\r\n\r\n'
    const bytes = `HTTP/1.1 100 Continue\r\nX: 100\r\n\r\n${hints}HTTP/1.1 100 Go\r\n\r\n${ok(body)}`
    let at = 0
    const server = await backend(async (socket) => {
      socket.write(bytes.slice(0, at))
      await new Promise((resolve) => setImmediate(resolve))
      socket.write(bytes.slice(at))
    })
    const made = clients(own)
    for (at = 1; at < bytes.length; at++) expect(await textOf(await made.send(asked(server.url)))).toBe(body)
    // Not one was broken off; undici may open a second while the first is just done.
    expect(server.connections).toBeLessThanOrEqual(own ? 1 : 4)
  })

  it('ends a body with an error when a chunk is broken', async () => {
    const server = await backend((socket) =>
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n'),
    )
    const exchange = await clients(own).send(asked(server.url))
    expect(await fails(collected(exchange.reply.body, 100))).toMatchObject({ code: 'backendGarbled' })
    expect(await exchange.over).toBeInstanceOf(Error)
  })

  it('never takes what comes unasked for the next answer', async () => {
    const server = await backend((socket, _request, count) => {
      socket.write(count === 1 ? ok('first') + ok('smuggled') : ok('second'))
    })
    const made = clients(own)
    expect(await textOf(await made.send(asked(server.url)))).toBe('first')
    // undici fails the first where both come together; what matters is whose answer the second gets.
    expect(await textOf(await made.send(asked(server.url)))).toBe('second')
  })

  it('fails with backendReset when the backend closes in the middle', async () => {
    const server = await backend((socket, _request, count) => {
      if (count === 1) socket.destroy()
      else socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')
    })
    const made = clients(own)
    const error = await fails(made.send(asked(server.url)))
    expect(error).toMatchObject({ code: 'backendReset' })
    expect(error.detail.unsent).not.toBe(true)
    const exchange = await made.send(asked(server.url))
    expect(await fails(collected(exchange.reply.body, 100))).toMatchObject({ code: 'backendReset' })
  })

  it('says that nothing was sent when nobody listens', async () => {
    const error = await fails(clients(own).send(asked('http://127.0.0.1:1')))
    expect(error).toMatchObject({ code: 'backendRefused', detail: { unsent: true } })
  })

  it('does not connect to an address it is told to refuse', async () => {
    const server = await backend((socket) => socket.write(ok()))
    for (const url of [server.url, server.url.replace('127.0.0.1', 'localhost')]) {
      const error = await fails(clients(own, { refuse: () => 'not allowed' }).send(asked(url)))
      expect(error).toMatchObject({ code: 'backendForbidden' })
    }
    expect(server.connections).toBe(0)
  })

  it('gives up when no head comes in time, and when a body stands still', async () => {
    const server = await backend((socket, _request, count) => {
      if (count > 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')
    })
    const made = clients(own, { bodyTimeoutMs: 100 })
    const error = await fails(made.send(asked(server.url, { headTimeoutMs: 100 })))
    expect(error).toMatchObject({ code: 'backendTimeout' })
    const exchange = await made.send(asked(server.url))
    expect(await fails(collected(exchange.reply.body, 100))).toMatchObject({ code: 'backendTimeout' })
  })

  it('waits on where others have joined who have more time', async () => {
    const server = await backend((socket) => setTimeout(() => socket.write(ok()), 300))
    const until = performance.now() + 2000
    const request = { headTimeoutMs: 50, leftMs: () => until - performance.now() }
    expect(await textLater(clients(own).send(asked(server.url, request)))).toBe('fine')
  })

  it('takes a head of 64 KiB, and refuses a longer one at once', async () => {
    const server = await backend((socket, _, count) => {
      const field = `X-Big: ${'y'.repeat(count === 1 ? 60_000 : 70_000)}\r\n`
      socket.write(`HTTP/1.1 200 OK\r\n${field}Content-Length: 0\r\n\r\n`)
    })
    const made = clients(own)
    expect((await made.send(asked(server.url))).reply.status).toBe(200)
    const error = await fails(made.send(asked(server.url)))
    expect(error.code).toBe('backendGarbled')
    expect(error.message).toContain('65536')
  })

  it.each([
    ['ends its lines with LF alone', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
    ['ends one line with LF alone', 'HTTP/1.1 200 OK\r\nContent-Length: 2\nX: y\r\n'],
    ['does not speak HTTP', 'SSH-2.0-OpenSSH_9.9\r\n'],
    ['goes on and on before its answer', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)],
    ['tells it to go on again and again', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(100)],
    [
      'changes the protocol unasked',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
    ],
  ])('refuses at once what %s', async (_, text) => {
    const server = await backend((socket) => socket.write(text))
    const began = performance.now()
    const error = await fails(clients(own).send(asked(server.url, { headTimeoutMs: 20_000 })))
    expect(error.code).toBe('backendGarbled')
    expect(performance.now() - began).toBeLessThan(5000)
  })

  it('ends the exchange at the backend when the caller leaves', async () => {
    const server = await backend((socket, _request, count) => {
      if (count === 2) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')
    })
    const made = clients(own)
    const left = new AbortController()
    const waiting = fails(made.send(asked(server.url, { signal: left.signal })))
    await eventually(() => expect(server.requests).toHaveLength(1))
    left.abort(new Error('gone'))
    await waiting
    await eventually(() => expect(server.sockets.size).toBe(0))
    const exchange = await made.send(asked(server.url))
    for await (const chunk of exchange.reply.body as Incoming) {
      expect(Buffer.from(chunk).toString()).toBe('abc')
      break
    }
    await eventually(() => expect(server.sockets.size).toBe(0))
  })

  it('reads no faster than the body is taken', async () => {
    const size = 64 * 1024 * 1024
    let written = 0
    const server = await backend((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
      const piece = Buffer.alloc(1024 * 1024)
      const more = () => {
        while (written < size) {
          written += piece.length
          if (!socket.write(piece)) return void socket.once('drain', more)
        }
      }
      more()
    })
    const exchange = await clients(own).send(asked(server.url))
    let taken = 0
    let checked = false
    for await (const chunk of exchange.reply.body as Incoming) {
      taken += chunk.length
      if (checked) continue
      checked = true
      let before = -1
      await eventually(async () => {
        const last = before
        before = written
        await new Promise((resolve) => setTimeout(resolve, 50))
        expect(written).toBe(last)
      })
      expect(written).toBeLessThan(size / 2)
    }
    expect(taken).toBe(size)
  })

  it('keeps to its connections and lets further requests wait', async () => {
    const held: net.Socket[] = []
    const server = await backend((socket) => void held.push(socket))
    const made = clients(own, { connections: 2 })
    const all = Array.from({ length: 6 }, () => textLater(made.send(asked(server.url))))
    for (let done = 0; done < 6; ) {
      await eventually(() => expect(held.length).toBeGreaterThan(0))
      expect(held.length).toBeLessThanOrEqual(2)
      for (const socket of held.splice(0)) {
        socket.write(ok())
        done++
      }
    }
    expect(await Promise.all(all)).toEqual(Array.from({ length: 6 }, () => 'fine'))
    expect(server.connections).toBe(2)
  })

  it('does not send on an idle connection that the backend has closed', async () => {
    const server = await backend((socket) => socket.write(ok()))
    const made = clients(own)
    for (let round = 0; round < 5; round++) {
      expect(await textOf(await made.send(asked(server.url)))).toBe('fine')
      for (const socket of server.sockets) socket.end()
      await eventually(() => expect(server.sockets.size).toBe(0))
    }
  })

  const failure = 'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n'

  it('does not use a connection right behind an error, when the backend may be about to close it', async () => {
    const server = await backend((socket, _, count) => socket.write(count === 1 ? failure : ok()))
    const made = clients(own)
    expect((await made.send(asked(server.url))).reply.status).toBe(500)
    expect(await textOf(await made.send(asked(server.url)))).toBe('fine')
    expect(server.connections).toBe(2)
  })

  it('waits where it may open no other, and takes a new one if the backend has closed that', async () => {
    for (const closes of [true, false]) {
      const server = await backend((socket, _, count) => {
        socket.write(count === 1 ? failure : ok())
        if (closes && count === 1) setImmediate(() => socket.destroy())
      })
      const made = clients(own, { connections: 1 })
      expect((await made.send(asked(server.url))).reply.status).toBe(500)
      const [one, other] = [made.send(asked(server.url)), made.send(asked(server.url))]
      expect([await textLater(one), await textLater(other)]).toEqual(['fine', 'fine'])
      expect(server.connections).toBe(closes ? 2 : 1)
    }
  })
})

describe('undici', () => {
  it('reads over 100 Continue where it speaks TLS, and while the body streams', async () => {
    const trusted = tls.getCACertificates('default')
    tls.setDefaultCACertificates([...trusted, SELF_SIGNED.cert])
    closers.push(() => tls.setDefaultCACertificates(trusted))
    const server = tls.createServer(SELF_SIGNED, (socket) =>
      socket
        .on('error', () => {})
        .on('data', (bytes) => {
          if (bytes.includes('HTTP/1.1\r\n')) socket.write('HTTP/1.1 100 Continue\r\n\r\n')
          if (bytes.includes('0\r\n\r\n')) socket.write(`HTTP/1.1 100 Continue\r\n\r\n${ok()}`)
        }),
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => void server.close())
    const url = `https://127.0.0.1:${(server.address() as net.AddressInfo).port}`
    const made = clients(true)
    async function* body() {
      yield Buffer.from('a')
      await new Promise((resolve) => setImmediate(resolve))
      yield Buffer.from('b')
    }
    for (let i = 0; i < 3; i++)
      expect(await textOf(await made.send(asked(url, { body: body() })))).toBe('fine')
  })
})

describe('our own client', () => {
  it('sends bodies of any length whole, several at a time, also to a backend that is slow to read', async () => {
    const lengths = [1, 1024, 1025, 12_288, 12_289, 300_000]
    const server = await backend((socket, request) =>
      socket.write(ok(request.slice(request.indexOf('\r\n\r\n') + 4))),
    )
    const made = clients(true)
    const bodies = lengths.flatMap((length) => ['a', 'b', 'c'].map((letter) => letter.repeat(length)))
    const slow = eventually(() => {
      const [socket] = server.sockets
      expect(socket).toBeDefined()
      socket?.pause()
      setTimeout(() => socket?.resume(), 50)
    })
    const answers = bodies.map((body) => textLater(made.send(asked(server.url, { body: Buffer.from(body) }))))
    expect((await Promise.all(answers)).map(({ length }) => length)).toEqual(
      bodies.map(({ length }) => length),
    )
    expect((await Promise.all(answers)).every((answer, i) => answer === bodies[i])).toBe(true)
    await slow
  })

  it('sends nothing of a request that is given up in the turn it was made in', async () => {
    const server = await backend((socket) => socket.write(ok()))
    const made = clients(true)
    expect(await textLater(made.send(asked(server.url)))).toBe('fine')
    const leaving = new AbortController()
    const left = made.send(asked(server.url, { signal: leaving.signal }))
    leaving.abort(new Error('the caller has left'))
    expect((await fails(left)).code).toBe('callerLeft')
    expect(await textLater(made.send(asked(server.url)))).toBe('fine')
    expect(server.requests).toHaveLength(2)
  })

  it('a request that the system cannot take yet is not written over by the next', async () => {
    const opened: net.Socket[] = []
    const note = (message: unknown) => void opened.push((message as { socket: net.Socket }).socket)
    subscribe('net.client.socket', note)
    closers.push(() => void unsubscribe('net.client.socket', note))
    const sockets: net.Socket[] = []
    const server = net.createServer((socket) => void sockets.push(socket.pause().on('error', () => {})))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    closers.push(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    const url = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`
    const made = clients(true)
    const send = (letter: string) => {
      const coming = made.send(asked(url, { body: Buffer.alloc(12_000, letter), headTimeoutMs: 10_000 }))
      return textLater(coming).catch(() => 'cut')
    }
    // A backend that answers unread, until no more fits in between.
    let sent = 0
    for (; sent < 5000; sent++) {
      const answer = send('a')
      await eventually(() => expect(sockets).not.toHaveLength(0))
      for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
      if (opened[0]?.writableLength) break
      sockets[0]?.write(ok())
      expect(await answer).toBe('fine')
    }
    expect(opened[0]?.writableLength).toBeGreaterThan(0)
    void send('b')
    await eventually(() => expect(sockets).toHaveLength(2))
    let text = ''
    sockets[0]
      ?.on('data', (piece: Buffer) => (text = text.slice(-20_000) + piece.toString('latin1')))
      .resume()
    const last = () => text.slice(text.lastIndexOf('\r\n\r\n') + 4)
    await eventually(() => expect(opened[0]?.writableLength).toBe(0))
    // What the client has sent by then arrives a little later.
    await eventually(() => expect(/^a{12000}$/.test(last())).toBe(true))
  })

  it('takes nothing for an answer that came before the request was sent', async () => {
    const server = await backend((socket) => socket.write(ok()))
    const made = clients(true)
    expect(await textLater(made.send(asked(server.url)))).toBe('fine')
    const [socket] = server.sockets
    await new Promise(setImmediate)
    socket?.write(ok('of another'))
    expect(await fails(made.send(asked(server.url)))).toMatchObject({
      code: 'backendGarbled',
      detail: { unsent: true },
    })
    expect(await textLater(made.send(asked(server.url)))).toBe('fine')
  })

  it('drops an idle connection on which something arrives', async () => {
    const server = await backend((socket) => socket.write(ok()))
    const made = clients(true)
    await textOf(await made.send(asked(server.url)))
    const [socket] = server.sockets
    socket?.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')
    await eventually(() => expect(server.sockets.size).toBe(0))
    expect(await textOf(await made.send(asked(server.url)))).toBe('fine')
  })

  it('does not use a connection that the backend is about to close', async () => {
    const server = await backend((socket) =>
      socket.write(`HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n`),
    )
    const made = clients(true)
    for (const _ of [1, 2]) await textOf(await made.send(asked(server.url)))
    expect(server.connections).toBe(2)
  })

  it('answers a request that waits in vain for a connection with a fault of which nothing was sent', async () => {
    const server = await backend(() => {})
    const made = clients(true, { connections: 1 })
    const first = fails(made.send(asked(server.url, { headTimeoutMs: 300 })))
    const error = await fails(made.send(asked(server.url, { headTimeoutMs: 100 })))
    expect(error).toMatchObject({ code: 'backendTimeout', detail: { unsent: true } })
    expect((await first).detail.unsent).not.toBe(true)
  })

  it('refuses what would wait behind a thousand others', async () => {
    const server = await backend(() => {})
    const made = clients(true, { connections: 1 })
    const left = new AbortController()
    const all = Array.from({ length: 1030 }, () =>
      fails(made.send(asked(server.url, { signal: left.signal }))),
    )
    expect(await Promise.race(all)).toMatchObject({ code: 'overloaded', detail: { unsent: true } })
    left.abort(new Error('enough'))
    await Promise.all(all)
  })

  it.each([
    ['a target with a line break', { target: '/a\r\nX: y' }],
    ['a value with a line break', { headers: ['X', 'a\r\nY: b'] }],
    ['a name with a space', { headers: ['X Y', 'a'] }],
  ])('does not send %s', async (_, changes) => {
    const server = await backend((socket) => socket.write(ok()))
    const made = clients(true)
    expect(await fails(made.send(asked(server.url, changes)))).toMatchObject({
      code: 'badRequest',
      detail: { unsent: true },
    })
    expect(await textOf(await made.send(asked(server.url)))).toBe('fine')
    expect(server.requests).toHaveLength(1)
  })

  it('finishes what runs when its backend is forgotten', async () => {
    const held: net.Socket[] = []
    const server = await backend((socket) => void held.push(socket))
    const made = clients(true)
    const running = textLater(made.send(asked(server.url)))
    await eventually(() => expect(held).toHaveLength(1))
    await made.forget(server.url)
    held[0]?.write(ok('still'))
    expect(await running).toBe('still')
    await eventually(() => expect(server.sockets.size).toBe(0))
  })
})
