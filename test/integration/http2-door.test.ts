/** HTTP/2 at the data port: by prior knowledge, at both kinds of doors; what it accepts, refuses and bounds. */
import { once } from 'node:events'
import http2, { type ClientHttp2Session, type ClientHttp2Stream, type OutgoingHttpHeaders } from 'node:http2'
import net from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Reply } from '../../src/core/reply.ts'
import { openDoor, type Serve } from '../support/door.ts'
import { eventually } from '../support/eventually.ts'
import {
  block,
  CONTINUATION,
  DATA,
  type FieldList,
  FrameList,
  frame,
  GET,
  GOAWAY,
  HEADERS,
  PING,
  PREFACE,
  RawHttp2,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
} from '../support/raw-http2.ts'

function client({ port }: { port: number }, options: http2.ClientSessionOptions = {}): ClientHttp2Session {
  const session = http2.connect(`http://127.0.0.1:${port}`, options)
  session.on('error', () => {})
  onTestFinished(() => session.destroy())
  return session
}

async function rawConnection(port: number): Promise<RawHttp2> {
  const raw = await RawHttp2.connect(port)
  onTestFinished(() => void raw.socket.destroy())
  return raw
}

interface Heard {
  readonly headers: Record<string, unknown>
  readonly trailers: Record<string, unknown>
  readonly text: string
  /** Of RST_STREAM; 0: none was needed. */
  readonly code: number
}

function heard(stream: ClientHttp2Stream): Promise<Heard> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let headers: Record<string, unknown> = {}
    let trailers: Record<string, unknown> = {}
    stream
      .on('response', (fields) => (headers = { ...fields }))
      .on('trailers', (fields) => (trailers = { ...fields }))
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('error', () => {})
      .on('close', () => {
        const text = Buffer.concat(chunks).toString('latin1')
        resolve({ headers, trailers, text, code: stream.rstCode ?? 0 })
      })
  })
}

function ask(
  session: ClientHttp2Session,
  fields: OutgoingHttpHeaders,
  body?: string | Buffer,
): Promise<Heard> {
  const stream = session.request({ ':method': body === undefined ? 'GET' : 'POST', ...fields })
  const answer = heard(stream)
  stream.end(body)
  return answer
}

const said = ({ text }: Heard) => JSON.parse(text) as { method: string; target: string; body: string }

describe.each([{ fastDoor: true }, { fastDoor: false }])('HTTP/2 with $fastDoor', (kind) => {
  it('serves calls side by side, with and without a body', async () => {
    const server = await openDoor(kind)
    const session = client(server)
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        i % 2 === 0
          ? ask(session, { ':path': `/whole/${i}?q` }, `body ${i}`)
          : ask(session, { ':path': `/stream/${i}` }),
      ),
    )
    for (const [i, answer] of answers.entries()) {
      expect(answer.headers).toMatchObject({ ':status': 200, 'content-type': 'application/json' })
      expect(answer.headers['content-length']).toBe(String(answer.text.length))
      expect(answer.code).toBe(0)
      const even = i % 2 === 0
      expect(said(answer)).toEqual({
        method: even ? 'POST' : 'GET',
        target: even ? `/whole/${i}?q` : `/stream/${i}`,
        body: even ? `body ${i}` : '',
      })
    }
    expect(server.answered).toHaveLength(100)
    expect(server.answered.every(({ door: name, status }) => name === 'h2' && status === 200)).toBe(true)
  })

  it('makes one head of HTTP/1.1 of it: Host from the authority, one Cookie', async () => {
    const server = await openDoor(kind)
    await ask(client(server), {
      ':path': '/whole',
      ':authority': 'Name.example:80',
      cookie: ['a=1', 'b=2'],
      'x-a': 'é',
    })
    const [call] = server.calls
    expect(call?.host).toBe('name.example:80')
    expect(call?.headers).toEqual(['host', 'Name.example:80', 'x-a', 'é', 'cookie', 'a=1; b=2'])
  })

  it('takes a preface that comes byte by byte', async () => {
    const server = await openDoor(kind)
    const socket = net.connect(server.port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    socket.setNoDelay()
    await once(socket, 'connect')
    const bytes = Buffer.concat([PREFACE, frame(SETTINGS, 0, 0)])
    for (let i = 0; i < bytes.length; i++) {
      socket.write(bytes.subarray(i, i + 1))
      await new Promise((resolve) => setImmediate(resolve))
    }
    const list = new FrameList()
    socket.on('data', (chunk: Buffer) => list.push(chunk))
    await eventually(() =>
      expect(list.frames.some(({ type, flags }) => type === SETTINGS && flags === 1)).toBe(true),
    )
    expect(list.frames[0]?.type).toBe(SETTINGS)
  })

  it('still serves HTTP/1.1 on the same port', async () => {
    const server = await openDoor(kind)
    const answer = await fetch(`http://127.0.0.1:${server.port}/whole`)
    expect(await answer.json()).toEqual({ method: 'GET', target: '/whole', body: '' })
  })
})

describe('a stream', () => {
  const streaming =
    (body: Reply['body'], trailers?: () => string[]): Serve =>
    async () => ({
      reply: { status: 200, headers: ['X-A', 'b'], body, ...(trailers && { trailers }) },
      outcome: { kind: 'none' },
    })

  it('has trailers behind a whole answer and behind one that streams', async () => {
    const trailers = () => ['Grpc-Status', '0', 'x-t', 'é']
    const both = [Buffer.from('one'), pieces(['o', 'ne'])]
    for (const body of both) {
      const server = await openDoor({ serve: streaming(body, trailers) })
      const answer = await ask(client(server), { ':path': '/whole' })
      expect(answer).toMatchObject({
        text: 'one',
        code: 0,
        headers: { 'x-a': 'b' },
        trailers: { 'grpc-status': '0', 'x-t': 'é' },
      })
    }
  })

  it('flows both ways at a time', async () => {
    const server = await openDoor({
      serve: async (call) => ({
        reply: { status: 200, headers: [], body: call.body as AsyncIterable<Uint8Array> },
        outcome: { kind: 'none' },
      }),
    })
    const stream = client(server).request({ ':method': 'POST', ':path': '/stream' })
    onTestFinished(() => void stream.destroy())
    for (const word of ['one', 'two', 'three']) {
      stream.write(word)
      expect(String((await once(stream, 'data'))[0])).toBe(word)
    }
    stream.end()
    await once(stream.resume(), 'close')
    expect(stream.rstCode).toBe(0)
  })

  it('holds a sender back whose reader is slow, and a writer whose client does not read', async () => {
    let taken = 0
    let given = 0
    const server = await openDoor({
      maxBodyBytes: 1e9,
      serve: async (call) => {
        const reading = (call.body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]()
        async function* body() {
          await reading.next()
          for (;;) {
            given += 65_536
            yield Buffer.alloc(65_536)
          }
        }
        return { reply: { status: 200, headers: [], body: body() }, outcome: { kind: 'none' } }
      },
    })
    const stream = client(server).request({ ':method': 'POST', ':path': '/stream' })
    onTestFinished(() => void stream.destroy())
    stream.on('error', () => {})
    const send = () => {
      while (stream.write(Buffer.alloc(65_536), () => (taken += 65_536)));
    }
    stream.on('drain', send)
    send()
    let before = -1
    await eventually(() => {
      const now = taken + given
      const isQuiet = now === before && now > 0
      before = now
      if (!isQuiet) throw new Error('still flows')
    })
    expect(taken).toBeLessThan(2 ** 21)
    expect(given).toBeLessThan(2 ** 21)
  })

  it('that the client resets cancels its call', async () => {
    const server = await openDoor({ serve: () => new Promise(() => {}) })
    const stream = client(server).request({ ':method': 'GET', ':path': '/whole' })
    await eventually(() => expect(server.calls).toHaveLength(1))
    const answer = heard(stream)
    stream.close(http2.constants.NGHTTP2_CANCEL)
    await answer
    await eventually(() => expect(server.answered).toMatchObject([{ fault: 'callerLeft' }]))
    expect(server.calls[0]?.signal.aborted).toBe(true)
  })

  it('that fails in the middle of its answer is reset, and no other', async () => {
    async function* broken() {
      yield Buffer.from('half')
      await new Promise((resolve) => setTimeout(resolve, 20))
      throw new Error('broken')
    }
    const server = await openDoor({ serve: streaming(broken()) })
    const session = client(server)
    expect(await ask(session, { ':path': '/whole' })).toMatchObject({
      text: 'half',
      code: http2.constants.NGHTTP2_INTERNAL_ERROR,
    })
    expect((await ask(session, { ':path': '/nowhere' })).headers[':status']).toBe(404)
  })

  it('whose body is too long, or too late, is refused', async () => {
    const server = await openDoor({ maxBodyBytes: 1000, bodyTimeoutMs: 100 })
    const session = client(server)
    const long = await ask(session, { ':path': '/whole' }, Buffer.alloc(200_000))
    expect(long.headers[':status']).toBe(413)
    const late = session.request({ ':method': 'POST', ':path': '/whole' })
    late.write('x')
    const answer = await heard(late)
    expect(answer.headers[':status']).toBe(408)
    expect((await ask(session, { ':path': '/whole' }, 'x')).headers[':status']).toBe(200)
  })

  it('asks for 100 Continue, and gets it', async () => {
    const server = await openDoor()
    const stream = client(server).request({ ':method': 'POST', ':path': '/whole', expect: '100-continue' })
    const answer = heard(stream)
    await once(stream, 'continue')
    stream.end('body')
    expect(said(await answer).body).toBe('body')
  })

  it('of HEAD has the length and no body', async () => {
    const server = await openDoor()
    const answer = await ask(client(server), { ':method': 'HEAD', ':path': '/whole' })
    expect(answer).toMatchObject({ text: '', headers: { ':status': 200, 'content-length': '45' } })
  })
})

describe('a head that means something else over HTTP/1.1 ends its stream', () => {
  const BAD: [string, [string, string][]][] = [
    ['a line break in a value', [['x-a', 'b\r\nx-c: d']]],
    ['NUL in a value', [['x-a', 'b\0']]],
    ['an upper-case name', [['X-A', 'b']]],
    ['a space in a name', [['x a', 'b']]],
    ['Connection', [['connection', 'close']]],
    ['Transfer-Encoding', [['transfer-encoding', 'chunked']]],
    ['Upgrade', [['upgrade', 'h2c']]],
    ['TE other than trailers', [['te', 'gzip']]],
    ['Host unlike the authority', [['host', 'other']]],
    [
      'two lengths',
      [
        ['content-length', '1'],
        ['content-length', '2'],
      ],
    ],
    ['a length that is none', [['content-length', '+1']]],
    ['a length without a body', [['content-length', '1']]],
    ['a pseudo-header field that is not of requests', [[':status', '200']]],
  ]
  it.each(BAD)('%s', async (_, fields) => {
    const server = await openDoor()
    const wire = await rawConnection(server.port)
    wire.headers(1, [...GET, ...fields])
    const reset = await wire.until(
      ({ type, stream }) => (type === RST_STREAM || type === HEADERS) && stream === 1,
    )
    expect(reset.type).toBe(RST_STREAM)
    expect(server.calls).toHaveLength(0)
    // The connection serves the next.
    wire.headers(3, GET)
    expect((await wire.until(({ stream }) => stream === 3)).type).toBe(HEADERS)
  })

  it.each([
    ['no authority', GET.filter(([name]) => name !== ':authority')],
    ['an authority with a user', GET.map(([name, value]) => [name, name === ':authority' ? 'me@h' : value])],
    ['two hosts', [...GET, ['host', 'h'], ['host', 'h']]],
    ['a relative path', GET.map(([name, value]) => [name, name === ':path' ? 'whole' : value])],
    ['no path', GET.filter(([name]) => name !== ':path')],
    ['CONNECT', GET.map(([name, value]) => [name, name === ':method' ? 'CONNECT' : value])],
    ['another scheme', GET.map(([name, value]) => [name, name === ':scheme' ? 'ftp' : value])],
    ['a field behind which a pseudo-header field comes', [['x-a', 'b'], ...GET]],
  ] as [string, FieldList][])('%s', async (_, fields) => {
    const server = await openDoor()
    const wire = await rawConnection(server.port)
    wire.headers(1, fields)
    const reset = await wire.until(
      ({ type, stream }) => (type === RST_STREAM || type === HEADERS) && stream === 1,
    )
    expect(reset.type).toBe(RST_STREAM)
    expect(server.calls).toHaveLength(0)
  })
})

describe('an attack ends its own connection', () => {
  it('resets of streams that have just begun (CVE-2023-44487)', async () => {
    const server = await openDoor({ serve: () => new Promise(() => {}) })
    const other = client(server)
    const wire = await rawConnection(server.port)
    for (let id = 1; id < 20_000 && !wire.isClosed; id += 2) {
      wire.headers(id, GET)
      wire.send(RST_STREAM, 0, id, Buffer.from([0, 0, 0, 8]))
      if (id % 199 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await wire.closed
    expect(server.calls.length).toBeLessThan(3000)
    expect((await ask(other, { ':path': '/nowhere' })).headers[':status']).toBe(404)
  })

  it('a head that never ends (CONTINUATION flood)', async () => {
    const server = await openDoor()
    const wire = await rawConnection(server.port)
    wire.send(HEADERS, 0, 1, block(GET))
    const piece = block([['x-a', 'a'.repeat(8000)]])
    for (let i = 0; i < 1000 && !wire.isClosed; i++) {
      wire.send(CONTINUATION, 0, 1, piece)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await wire.closed
    expect(server.calls).toHaveLength(0)
  })

  it.each([
    ['windows that grow', frame(WINDOW_UPDATE, 0, 0, Buffer.from([0, 0, 0, 1]))],
    ['a window of a stream that is over grows', frame(WINDOW_UPDATE, 0, 1, Buffer.from([0, 0, 0, 1]))],
    ['resets of a stream that is over', frame(RST_STREAM, 0, 1, Buffer.from([0, 0, 0, 8]))],
  ])('%s without end', async (_, one) => {
    const server = await openDoor()
    const wire = await rawConnection(server.port)
    wire.headers(1, GET)
    await wire.until(({ type, stream }) => type === DATA && stream === 1)
    wire.write(Buffer.concat(Array.from({ length: 1100 }, () => one)))
    const goodbye = await wire.until(({ type }) => type === GOAWAY)
    expect(goodbye.payload.readUInt32BE(4)).toBe(11)
    await wire.closed
  })

  it.each([
    ['PING', () => ({ type: PING, payload: Buffer.alloc(8) })],
    ['SETTINGS', () => ({ type: SETTINGS, payload: Buffer.alloc(0) })],
  ])('%s without end, whose answers are not read', async (_, next) => {
    const server = await openDoor()
    const wire = await rawConnection(server.port)
    wire.pause()
    const { type, payload } = next()
    const flood = Buffer.concat(Array.from({ length: 1000 }, () => frame(type, 0, 0, payload)))
    for (let i = 0; i < 2000 && !wire.isClosed; i++) {
      wire.write(flood)
      await new Promise((resolve) => setImmediate(resolve))
    }
    wire.resume()
    await wire.closed
  })

  it('silence: before the preface is complete, in the middle of a head, and without a request', async () => {
    const server = await openDoor({ headerTimeoutMs: 200, keepAliveTimeoutMs: 200 })
    const partial = net.connect(server.port, '127.0.0.1').on('error', () => {})
    partial.write(PREFACE.subarray(0, 20))
    const halfHead = await rawConnection(server.port)
    halfHead.send(HEADERS, 0, 1, block(GET))
    const idle = await rawConnection(server.port)
    await Promise.all([once(partial.resume(), 'close'), halfHead.closed, idle.closed])
  })

  it('a client that reads no answer holds its streams for a bounded time', async () => {
    const server = await openDoor({
      keepAliveTimeoutMs: 200,
      serve: async () => ({
        reply: { status: 200, headers: [], body: Buffer.alloc(1e6) },
        outcome: { kind: 'none' },
      }),
    })
    const wire = await rawConnection(server.port)
    wire.headers(1, GET)
    expect(await wire.until(({ type, stream }) => type === RST_STREAM && stream === 1)).toBeDefined()
  })
})

it('a client that left while its answer waited for a window holds nothing', async () => {
  const server = await openDoor({ keepAliveTimeoutMs: 60_000 })
  const wire = await rawConnection(server.port)
  const noWindow = Buffer.from([0, 4, 0, 0, 0, 0])
  wire.send(SETTINGS, 0, 0, noWindow)
  wire.headers(1, GET)
  expect(await wire.until(({ type, stream }) => type === HEADERS && stream === 1)).toBeDefined()
  wire.socket.destroy()
  // Resolves when no connection is left; its timeout is longer than the test's.
  await server.drain(60_000)
})

it('a drain loses no call: those that were sent are answered, and none is refused', async () => {
  const server = await openDoor({
    serve: async () => {
      await new Promise((resolve) => setTimeout(resolve, 5))
      return { reply: { status: 200, headers: [], body: Buffer.from('ok') }, outcome: { kind: 'none' } }
    },
  })
  const sessions = Array.from({ length: 8 }, () => client(server))
  const answers: Promise<Heard>[] = []
  let isClosed = 0
  for (const session of sessions) {
    session.once('close', () => isClosed++)
    session.once('goaway', () => clearInterval(timer))
    const timer = setInterval(() => {
      if (!session.closed && !session.destroyed) answers.push(ask(session, { ':path': '/whole' }))
    }, 1)
    onTestFinished(() => clearInterval(timer))
  }
  await eventually(() => expect(answers.length).toBeGreaterThan(200))
  await server.drain(5000)
  const all = await Promise.all(answers)
  // A client of node:http2 fails those that it was asked for behind the GOAWAY without sending them.
  expect(all.filter(({ text }) => text === 'ok')).toHaveLength(server.calls.length)
  expect(
    all.filter(({ text, code }) => text !== 'ok' && code !== http2.constants.NGHTTP2_REFUSED_STREAM),
  ).toEqual([])
  await eventually(() => expect(isClosed).toBe(8))
})

async function* pieces(texts: readonly string[]) {
  for (const text of texts) yield Buffer.from(text)
}
