/** The client for backends over HTTP/2: streams both ways, connections as they are needed, and every way in which one ends. */
import { once } from 'node:events'
import http2, { type Http2Session } from 'node:http2'
import net from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { BackendRequest, BackendResponse, ClientOptions } from '../../src/data/backend/exchange.ts'
import { Http2Client } from '../../src/data/backend/http2-client.ts'
import type { WatchOptions } from '../../src/data/backend/http2-watch.ts'
import { collected, type Incoming } from '../../src/data/backend/incoming.ts'
import { systemClock } from '../../src/lib/clock.ts'
import type { Awaitable } from '../../src/lib/deferred.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { SELF_SIGNED } from '../support/certificate.ts'
import { eventually } from '../support/eventually.ts'
import { fails, textLater, textOf } from '../support/exchanges.ts'
import {
  type Asked,
  answerGrpc,
  bodyOf,
  type Http2Backend,
  type Http2BackendOptions,
  http2Backend,
} from '../support/http2-backend.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0).toReversed()) close()
})

async function backend(
  answer: (asked: Asked) => unknown,
  options?: Http2BackendOptions,
): Promise<Http2Backend> {
  const made = await http2Backend(answer, options)
  closers.push(() => made.close())
  return made
}

const echo = async ({ stream }: Asked) => answerGrpc(stream, await bodyOf(stream))

function client(options: Partial<ClientOptions> = {}, watch?: WatchOptions): Http2Client {
  const wheel = new Wheel(systemClock)
  const made = new Http2Client(
    {
      connections: Infinity,
      connectTimeoutMs: 10_000,
      bodyTimeoutMs: 10_000,
      refuse: () => undefined,
      ...options,
    },
    wheel,
    watch,
  )
  closers.push(() => {
    made.close()
    wheel.close()
  })
  return made
}

const NEVER = new AbortController().signal
const FIELDS = ['Content-Type', 'application/grpc', 'X-Twice', 'a', 'X-Twice', 'b']

function send(
  made: Http2Client,
  url: string,
  changes: Partial<BackendRequest> = {},
): Awaitable<BackendResponse> {
  const request: BackendRequest = {
    url,
    transport: 'grpc',
    method: 'POST',
    target: '/pkg.Service/Call',
    headers: FIELDS,
    body: Buffer.from('hello'),
    contentLength: undefined,
    signal: NEVER,
    headTimeoutMs: 20_000,
    ...changes,
  }
  return made.send(request, request.headers)
}

const PREFACE_BYTES = 24

/** The types of the frames in what a client has sent. */
function framesOf(bytes: Buffer): number[] {
  const types: number[] = []
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3))
    types.push(bytes[at + 3] as number)
  return types
}

/** A body that its test writes. */
class Written implements AsyncIterable<Uint8Array> {
  readonly #pieces: (Uint8Array | undefined)[] = []
  #wake = () => {}
  taken = 0

  write(text: string): void {
    this.#pieces.push(Buffer.from(text))
    this.#wake()
  }

  end(): void {
    this.#pieces.push(undefined)
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      while (this.#pieces.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve))
      const piece = this.#pieces.shift()
      if (!piece) return
      this.taken++
      yield piece
    }
  }
}

describe('requests and answers', () => {
  it('sends a request as a stream, and gives answer and trailers, on one connection again and again', async () => {
    const server = await backend(async ({ stream, count }) => {
      await bodyOf(stream)
      answerGrpc(stream, `answer ${count}`, { 'grpc-status': '3', 'grpc-message': 'no' })
    })
    const made = client()
    for (const n of [0, 1, 2]) {
      const exchange = await send(made, server.url)
      expect(exchange.reply.status).toBe(200)
      expect(exchange.reply.headers.slice(0, 2)).toEqual(['content-type', 'application/grpc'])
      expect(await textOf(exchange)).toBe(`answer ${n}`)
      expect(exchange.reply.trailers?.()).toEqual(['grpc-status', '3', 'grpc-message', 'no'])
      expect(await exchange.over).toBeUndefined()
    }
    expect(server.connections).toBe(1)
  })

  it('sends the fields that HTTP/2 knows, and none of a connection', async () => {
    const server = await backend(echo)
    const headers = [...FIELDS, 'Connection', 'x', 'TE', 'gzip', 'Keep-Alive', '1', 'Content-Length', '9']
    headers.push('Transfer-Encoding', 'chunked', 'Upgrade', 'h2c', 'Host', 'elsewhere', 'X-Bin', 'é')
    expect(await textLater(send(client(), `${server.url}/prefix`, { headers, host: 'model.example' }))).toBe(
      'hello',
    )
    expect(server.streams[0]?.raw.slice(0, -2)).toEqual([
      ':method',
      'POST',
      ':scheme',
      'http',
      ':authority',
      'model.example',
      ':path',
      '/prefix/pkg.Service/Call',
      'content-type',
      'application/grpc',
      'x-twice',
      'a',
      'x-twice',
      'b',
      'x-bin',
      'é',
    ])
    expect(server.streams[0]?.headers['te']).toBe('trailers')
  })

  it('names the host of the URL where no other is given', async () => {
    const server = await backend(echo)
    await send(client(), server.url)
    expect(server.streams[0]?.headers[':authority']).toBe(`127.0.0.1:${server.port}`)
  })

  it('gives an answer of trailers only at once', async () => {
    const server = await backend(({ stream }) => {
      stream.respond({ ':status': 200, 'grpc-status': '12' }, { endStream: true })
    })
    const { reply, over } = await send(client(), server.url)
    expect(reply.body).toHaveLength(0)
    expect(over).toBeUndefined()
    expect(reply.headers.slice(0, 2)).toEqual(['grpc-status', '12'])
  })

  it('gives a body as bytes where the answer came as a whole', async () => {
    // node:http2 writes head and data together, but trailers apart.
    const server = await backend(({ stream }) => {
      stream.respond({ ':status': 200 })
      stream.end('whole')
    })
    const made = client()
    await eventually(async () => {
      const { reply, over } = await send(made, server.url)
      expect(reply.body).toBeInstanceOf(Uint8Array)
      expect(Buffer.from(reply.body as Uint8Array).toString()).toBe('whole')
      expect(over).toBeUndefined()
    })
  })

  it.each([
    ['a target with a line break', { target: '/a\r\nX: y' }],
    ['a value with a line break', { headers: ['X', 'a\r\nY: b'] }],
    ['a value with a NUL', { headers: ['X', 'a\0y\0b'] }],
    ['a name with a space', { headers: ['X Y', 'a'] }],
    ['a pseudo-field', { headers: [':path', '/other'] }],
  ])('does not send %s', async (_, changes) => {
    const server = await backend(echo)
    const made = client()
    expect(await fails(send(made, server.url, changes))).toMatchObject({
      code: 'badRequest',
      detail: { unsent: true },
    })
    expect(await textLater(send(made, server.url))).toBe('hello')
    expect(server.streams).toHaveLength(1)
  })

  it('passes interim answers over, and refuses more than a few', async () => {
    const server = await backend(({ stream, count }) => {
      for (let i = 0; i < (count === 0 ? 3 : 40); i++) stream.additionalHeaders({ ':status': 103, link: 'x' })
      answerGrpc(stream, 'fine')
    })
    const made = client()
    expect(await textLater(send(made, server.url))).toBe('fine')
    expect((await fails(textLater(send(made, server.url)))).code).toBe('backendGarbled')
  })

  it('takes a head of 60 KB, and no longer one', async () => {
    const server = await backend(({ stream, count }) => {
      stream.respond(
        { ':status': 200, 'x-big': 'y'.repeat(count === 0 ? 60_000 : 70_000) },
        { endStream: true },
      )
    })
    const made = client()
    expect((await send(made, server.url)).reply.status).toBe(200)
    expect((await fails(send(made, server.url))).fault.blame).toBe('backend')
    expect(server.connections).toBeLessThanOrEqual(2)
  })
})

describe('streams', () => {
  it('sends and receives at the same time', async () => {
    const server = await backend(({ stream }) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.on('data', (piece: Buffer) => stream.write(`<${piece}>`))
      stream.on('end', () => stream.end())
    })
    const body = new Written()
    // The head comes before a byte of the request.
    const { reply, over } = await send(client(), server.url, { body })
    const pieces = (reply.body as Incoming)[Symbol.asyncIterator]()
    for (const text of ['one', 'two', 'three']) {
      body.write(text)
      expect(Buffer.from((await pieces.next()).value as Uint8Array).toString()).toBe(`<${text}>`)
    }
    body.end()
    expect((await pieces.next()).done).toBe(true)
    expect(reply.trailers?.()).toEqual(['grpc-status', '0'])
    expect(await over).toBeUndefined()
  })

  it('does not call a stream silent while its request goes on', async () => {
    const server = await backend(({ stream }) => {
      stream.respond({ ':status': 200 })
      stream.resume().on('end', () => stream.end('done'))
    })
    const body = new Written()
    const { reply } = await send(client({ bodyTimeoutMs: 50 }), server.url, { body })
    const text = collected(reply.body, 100)
    const until = performance.now() + 200
    while (performance.now() < until) {
      body.write('.')
      await new Promise((resolve) => setImmediate(resolve))
    }
    body.end()
    expect(Buffer.from((await text).bytes).toString()).toBe('done')
  })

  it('stops sending when the answer is complete', async () => {
    const server = await backend(({ stream }) => answerGrpc(stream, 'early'))
    const body = new Written()
    const made = client()
    const exchange = await send(made, server.url, { body })
    body.write('x')
    expect(await textOf(exchange)).toBe('early')
    await eventually(() => expect(server.streams[0]?.stream.destroyed).toBe(true))
    expect(await textLater(send(made, server.url))).toBe('early')
    expect(server.connections).toBe(1)
  })

  it('takes an answer that does not wait for the request, and cancels the rest', async () => {
    const server = await backend(({ stream }) => answerGrpc(stream.pause(), 'early'))
    const made = client()
    const exchange = await send(made, server.url, { body: Buffer.alloc(4 * 1024 * 1024) })
    expect(await textOf(exchange)).toBe('early')
    await eventually(() => expect(server.streams[0]?.stream.destroyed).toBe(true))
    expect(await textLater(send(made, server.url))).toBe('early')
    expect(server.connections).toBe(1)
  })

  it('reads no faster than the body is taken, and others are not held up', async () => {
    let written = 0
    const server = await backend(({ stream, count }) => {
      if (count > 0) return answerGrpc(stream, 'quick')
      stream.respond({ ':status': 200 })
      const piece = Buffer.alloc(64 * 1024)
      const more = () => {
        while (written < 64 * 1024 * 1024 && !stream.destroyed) {
          written += piece.length
          if (!stream.write(piece)) return void stream.once('drain', more)
        }
        stream.end()
      }
      more()
    })
    const made = client()
    const slow = await send(made, server.url)
    const pieces = (slow.reply.body as Incoming)[Symbol.asyncIterator]()
    await pieces.next()
    // Far more calls than it takes to fill a connection's window, had it been filled.
    for (let i = 0; i < 200; i++) expect(await textLater(send(made, server.url))).toBe('quick')
    expect(written).toBeLessThan(4 * 1024 * 1024)
    expect(server.connections).toBe(1)
    await pieces.return?.(undefined)
    await eventually(() => expect(server.streams[0]?.stream.destroyed).toBe(true))
  })

  it('takes no more of a request than the backend does', async () => {
    const server = await backend(({ stream }) => stream.pause())
    const body = new Written()
    const left = new AbortController()
    for (let i = 0; i < 2000; i++) body.write('x'.repeat(16 * 1024))
    const call = fails(send(client(), server.url, { body, signal: left.signal }))
    await eventually(() => expect(body.taken).toBeGreaterThan(2))
    const seen = body.taken
    await new Promise((resolve) => setImmediate(resolve))
    expect(body.taken).toBeLessThan(seen + 50)
    expect(body.taken).toBeLessThan(100)
    left.abort(new Error('gone'))
    await call
  })
})

describe('connections', () => {
  it('opens as many as the streams of 2,000 calls need, and no call waits behind a full one', async () => {
    const held: Asked[] = []
    const server = await backend((asked) => void held.push(asked), {
      settings: { maxConcurrentStreams: 100 },
    })
    const made = client()
    const calls = Promise.all(Array.from({ length: 2000 }, () => textLater(send(made, server.url))))
    // A failure is told where it is awaited.
    calls.catch(() => {})
    await eventually(() => expect(held).toHaveLength(2000), { timeoutMs: 15_000 })
    expect(server.connections).toBe(20)
    for (const asked of held.splice(0)) void echo(asked)
    expect(new Set(await calls)).toEqual(new Set(['hello']))
    // One is enough while streams are free.
    const before = server.streams.length
    const more = textLater(send(made, server.url))
    await eventually(() => expect(held).toHaveLength(1))
    expect(server.streams).toHaveLength(before + 1)
    for (const asked of held.splice(0)) void echo(asked)
    expect(await more).toBe('hello')
    expect(server.connections).toBe(20)
  })

  it('goes on with those that are open when another one cannot be', async () => {
    const held: Asked[] = []
    const server = await backend((asked) => void held.push(asked), { settings: { maxConcurrentStreams: 1 } })
    let isRefusing = false
    const made = client({ refuse: () => (isRefusing ? 'no more' : undefined) })
    const url = server.url.replace('127.0.0.1', 'localhost')
    const first = textLater(send(made, url))
    await eventually(() => expect(held).toHaveLength(1))
    isRefusing = true
    const second = textLater(send(made, url))
    await new Promise((resolve) => setTimeout(resolve, 50))
    void echo(held[0] as Asked)
    expect(await first).toBe('hello')
    await eventually(() => expect(held).toHaveLength(2))
    isRefusing = false
    const third = textLater(send(made, url))
    await eventually(() => expect(held).toHaveLength(3))
    for (const asked of held.slice(1)) void echo(asked)
    expect(await Promise.all([second, third])).toEqual(['hello', 'hello'])
    expect(server.connections).toBe(2)
  })

  it('waits where it may open no more, and goes on when streams are free', async () => {
    const server = await backend(echo, { settings: { maxConcurrentStreams: 2 } })
    const made = client({ connections: 2 })
    const calls = Array.from({ length: 50 }, () => textLater(send(made, server.url)))
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['hello']))
    expect(server.connections).toBe(2)
  })

  it('says what it waited for in vain', async () => {
    const server = await backend(() => {}, { settings: { maxConcurrentStreams: 0 } })
    const error = await fails(send(client(), server.url, { headTimeoutMs: 200 }))
    expect(error).toMatchObject({ code: 'backendTimeout', detail: { unsent: true } })
    expect(error.message).toContain('no connection free')
    expect(server.connections).toBe(1)
  })

  it('closes one that nobody uses', async () => {
    const server = await backend(echo)
    const made = client({}, { lookMs: 20, idleLooks: 2, pingMs: 1000 })
    expect(await textLater(send(made, server.url))).toBe('hello')
    await eventually(() => expect(server.sessions.size).toBe(0))
    expect(await textLater(send(made, server.url))).toBe('hello')
    expect(server.connections).toBe(2)
  })

  it('lets what runs finish when its backend is forgotten', async () => {
    const held: Asked[] = []
    const server = await backend((asked) => void held.push(asked))
    const made = client()
    const running = textLater(send(made, server.url))
    await eventually(() => expect(held).toHaveLength(1))
    made.forget(server.url)
    for (const asked of held) void echo(asked)
    expect(await running).toBe('hello')
    await eventually(() => expect(server.sessions.size).toBe(0))
  })

  it('is not fooled by a backend that speaks HTTP/1.1, or nothing', async () => {
    const server = net.createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => server.close())
    const { port } = server.address() as net.AddressInfo
    expect(await fails(send(client(), `http://127.0.0.1:${port}`))).toMatchObject({
      code: 'backendGarbled',
      message: 'the backend does not speak HTTP/2',
      detail: { unsent: true },
    })
    const mute = net.createServer((socket) => socket.on('error', () => {}))
    mute.listen(0, '127.0.0.1')
    await once(mute, 'listening')
    closers.push(() => mute.close())
    const error = await fails(
      send(client({ connectTimeoutMs: 100 }), `http://127.0.0.1:${(mute.address() as net.AddressInfo).port}`),
    )
    expect(error).toMatchObject({ code: 'backendRefused', detail: { unsent: true } })
  })

  it('says that nothing was sent when nobody listens', async () => {
    const error = await fails(send(client(), 'http://127.0.0.1:1'))
    expect(error).toMatchObject({ code: 'backendRefused', detail: { unsent: true } })
  })

  it('does not connect to an address it is told to refuse', async () => {
    const server = await backend(echo)
    for (const url of [server.url, server.url.replace('127.0.0.1', 'localhost')]) {
      const error = await fails(send(client({ refuse: () => 'not allowed' }), url))
      expect(error).toMatchObject({ code: 'backendForbidden', detail: { unsent: true } })
    }
    expect(server.connections).toBe(0)
  })
})

describe('TLS', () => {
  const material = { identity: undefined, serverName: undefined, isVerified: true }

  it('speaks HTTP/2 by ALPN, and checks the certificate', async () => {
    const server = await backend(echo, { tls: SELF_SIGNED })
    const tls = { ...material, ca: SELF_SIGNED.cert }
    expect(await textLater(send(client({ tls }), server.url, { host: 'other.example' }))).toBe('hello')
    expect(server.streams[0]?.headers[':scheme']).toBe('https')
    expect(await fails(send(client(), server.url))).toMatchObject({
      code: 'backendUntrusted',
      detail: { unsent: true },
    })
    const named = { ...tls, serverName: 'other.example' }
    expect(await fails(send(client({ tls: named }), server.url))).toMatchObject({ code: 'backendUntrusted' })
  })

  it('refuses a backend that has only HTTP/1.1', async () => {
    const https = await import('node:https')
    const server = https.createServer(SELF_SIGNED, (_, response) => response.end())
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => server.close())
    const { port } = server.address() as net.AddressInfo
    const tls = { ...material, ca: SELF_SIGNED.cert }
    const error = await fails(send(client({ tls }), `https://127.0.0.1:${port}`))
    expect(error).toMatchObject({ code: 'backendTls', detail: { unsent: true } })
  })
})

describe('ends', () => {
  it.each([
    ['REFUSED_STREAM', http2.constants.NGHTTP2_REFUSED_STREAM, 'backendReset', true],
    ['CANCEL', http2.constants.NGHTTP2_CANCEL, 'backendReset', undefined],
    ['INTERNAL_ERROR', http2.constants.NGHTTP2_INTERNAL_ERROR, 'backendReset', undefined],
    ['ENHANCE_YOUR_CALM', http2.constants.NGHTTP2_ENHANCE_YOUR_CALM, 'backendReset', undefined],
    ['PROTOCOL_ERROR', http2.constants.NGHTTP2_PROTOCOL_ERROR, 'backendGarbled', undefined],
    ['HTTP_1_1_REQUIRED', http2.constants.NGHTTP2_HTTP_1_1_REQUIRED, 'backendGarbled', true],
  ])('tells of %s', async (name, code, fault, unsent) => {
    const server = await backend(({ stream }) => stream.close(code))
    const error = await fails(send(client(), server.url))
    expect(error.code).toBe(fault)
    expect(error.detail.unsent).toBe(unsent)
    expect(error.message).toContain(name)
  })

  it('fails a body that is reset in the middle', async () => {
    const server = await backend(({ stream }) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true })
      // With trailers to come its end does not overtake the reset.
      stream.on('wantTrailers', () => {})
      stream.write('abc', () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR))
    })
    const made = client()
    const error = await fails(textLater(send(made, server.url)))
    expect(error).toMatchObject({ code: 'backendReset' })
    expect(error.detail.unsent).not.toBe(true)
  })

  it.each([
    ['closes the connection', (asked: Asked) => asked.stream.session?.socket.destroy()],
    [
      'resets the connection',
      (asked: Asked) => (asked.stream.session as Http2Session).socket.resetAndDestroy(),
    ],
    [
      'says goodbye with an error',
      (asked: Asked) => asked.stream.session?.destroy(undefined, http2.constants.NGHTTP2_ENHANCE_YOUR_CALM),
    ],
  ])('fails what runs when the backend %s, and connects anew', async (_, end) => {
    const server = await backend((asked) => (asked.count < 2 ? asked.count === 1 && end(asked) : echo(asked)))
    const made = client()
    const [first, second] = [fails(send(made, server.url)), fails(send(made, server.url))]
    for (const error of await Promise.all([first, second])) {
      expect(error).toMatchObject({ code: 'backendReset' })
      expect(error.detail.unsent).not.toBe(true)
    }
    expect(await textLater(send(made, server.url))).toBe('hello')
  })

  it('gives up when no head comes in time, and when a body stands still; the backend is told', async () => {
    const server = await backend((asked) => {
      if (asked.count === 0) return void echo(asked)
      if (asked.count === 1) return
      asked.stream.respond({ ':status': 200 })
      asked.stream.write('abc')
    })
    const made = client({ bodyTimeoutMs: 100 })
    // The connection is there, so that what is late is the answer.
    await textLater(send(made, server.url))
    expect(await fails(send(made, server.url, { headTimeoutMs: 100 }))).toMatchObject({
      code: 'backendTimeout',
    })
    expect(await fails(textLater(send(made, server.url)))).toMatchObject({ code: 'backendTimeout' })
    await eventually(() => expect(server.streams.map(({ stream }) => stream.rstCode)).toEqual([0, 8, 8]))
  })

  it('waits on where others have joined who have more time', async () => {
    const server = await backend(({ stream }) => setTimeout(() => answerGrpc(stream, 'fine'), 300))
    const until = performance.now() + 5000
    const request = { headTimeoutMs: 50, leftMs: () => until - performance.now() }
    expect(await textLater(send(client(), server.url, request))).toBe('fine')
  })

  it('cancels the stream when the caller leaves, before the head and behind it', async () => {
    const server = await backend(({ stream, count }) => {
      if (count === 1) stream.respond({ ':status': 200 })
    })
    const made = client()
    const left = new AbortController()
    const waiting = fails(send(made, server.url, { signal: left.signal }))
    await eventually(() => expect(server.streams).toHaveLength(1))
    left.abort(new Error('gone'))
    expect(await waiting).toMatchObject({ code: 'callerLeft' })
    const { reply } = await send(made, server.url)
    ;(reply.body as Incoming).cancel(new Error('gone'))
    await eventually(() => expect(server.streams.map(({ stream }) => stream.rstCode)).toEqual([8, 8]))
    expect(server.connections).toBe(1)
  })

  it('cancels the stream when the request fails on its way', async () => {
    const server = await backend(() => {})
    async function* broken() {
      yield Buffer.from('abc')
      throw new Error('the caller left')
    }
    const error = await fails(send(client(), server.url, { body: broken() }))
    expect(error).toMatchObject({ code: 'callerLeft' })
    await eventually(() => expect(server.streams[0]?.stream.rstCode).toBe(8))
  })

  it('repeats elsewhere on its own what a goodbye has left out, so that rolling restarts fail no call', async () => {
    const server = await backend(echo)
    const made = client()
    const done = new AbortController()
    const restarts = (async () => {
      for (let i = 0; i < 30 && !done.signal.aborted; i++) {
        for (const session of server.sessions) session.close()
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    })()
    const one = async () => {
      for (let i = 0; i < 60; i++) expect(await textLater(send(made, server.url))).toBe('hello')
    }
    await Promise.all(Array.from({ length: 32 }, one))
    done.abort()
    await restarts
    expect(server.connections).toBeGreaterThan(2)
  })

  it('says of a streamed request that a goodbye has left it out', async () => {
    const goodbye = net.createServer((socket) => {
      let sent = Buffer.alloc(0)
      socket.on('error', () => {})
      socket.write(Buffer.from('000000040000000000', 'hex')) // SETTINGS
      socket.on('data', (bytes: Buffer) => {
        sent = Buffer.concat([sent, bytes])
        const frames = framesOf(sent.subarray(PREFACE_BYTES))
        // HEADERS have come; GOAWAY says that no stream was looked at.
        if (frames.includes(1)) socket.end(Buffer.from('0000080700000000000000000000000000', 'hex'))
      })
    })
    goodbye.listen(0, '127.0.0.1')
    await once(goodbye, 'listening')
    closers.push(() => goodbye.close())
    const url = `http://127.0.0.1:${(goodbye.address() as net.AddressInfo).port}`
    const error = await fails(send(client(), url, { body: new Written() }))
    expect(error).toMatchObject({ code: 'backendReset', detail: { unsent: true } })
    // A whole one was sent again some times.
    expect(await fails(send(client(), url))).toMatchObject({ detail: { unsent: true } })
  })
})

describe('a silent peer', () => {
  it('is left by further calls at once, and closed when it answers no ping', async () => {
    const server = await backend(echo)
    // Passes bytes on until it is told to stop.
    let isDead = false
    const sockets: net.Socket[] = []
    const proxy = net.createServer((near) => {
      const far = net.connect(server.port, '127.0.0.1')
      const mine = sockets.push(near)
      near.on('data', (bytes) => (isDead && mine === 1 ? undefined : far.write(bytes)))
      far.on('data', (bytes) => (isDead && mine === 1 ? undefined : near.write(bytes)))
      for (const socket of [near, far])
        socket.on('error', () => {}).on('close', () => (near.destroy(), far.destroy()))
    })
    proxy.listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    closers.push(() => {
      for (const socket of sockets) socket.destroy()
      proxy.close()
    })
    const url = `http://127.0.0.1:${(proxy.address() as net.AddressInfo).port}`
    const made = client({}, { lookMs: 60_000, idleLooks: 2, pingMs: 300 })
    expect(await textLater(send(made, url))).toBe('hello')
    isDead = true
    const stuck = fails(send(made, url, { headTimeoutMs: 20_000 }))
    expect(await fails(send(made, url, { headTimeoutMs: 100 }))).toMatchObject({ code: 'backendTimeout' })
    expect(await textLater(send(made, url))).toBe('hello')
    expect(sockets).toHaveLength(2)
    expect(await stuck).toMatchObject({ code: 'backendReset' })
    await eventually(() => expect(sockets[0]?.destroyed).toBe(true))
  })

  it('is asked by a ping while a call runs, and may take its time where it answers', async () => {
    let pings = 0
    const server = await backend(({ stream }) => {
      stream.session?.on('ping', () => {
        if (++pings === 3) answerGrpc(stream, 'slow')
      })
    })
    const made = client({}, { lookMs: 20, idleLooks: 1000, pingMs: 5000 })
    expect(await textLater(send(made, server.url))).toBe('slow')
    expect(server.connections).toBe(1)
  })
})
