/** How the fast door behaves towards its clients, on real sockets. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import type { Answer } from '../../src/core/reply.ts'
import { post, replies } from '../support/door.ts'
import { answer, answers, closed, doorClients } from '../support/door-clients.ts'
import { eventually } from '../support/eventually.ts'

const { door, client } = doorClients()

const body = (text: string | undefined) =>
  JSON.parse(text ?? '') as { method: string; target: string; body: string }

describe('the fast door', () => {
  it('answers a plain POST itself and keeps the connection', async () => {
    const server = await door()
    const one = await client(server)
    one.send(post('/whole/a?b=c', 'hello'))
    const [first] = await answers(one, 1)
    expect(body(first?.body)).toEqual({ method: 'POST', target: '/whole/a?b=c', body: 'hello' })
    expect(first?.headers.get('date')).toMatch(/GMT$/)
    expect(first?.headers.get('connection')).toBe('keep-alive')
    expect(first?.headers.get('keep-alive')).toBe('timeout=5')
    one.send(post('/whole/a', 'again'))
    const [, second] = await answers(one, 2)
    expect(body(second?.body).body).toBe('again')
    expect(server.answered.map(({ door }) => door)).toEqual(['fast', 'fast'])
  })

  it.each(['GET', 'HEAD'])('takes a %s without a body', async (method) => {
    const server = await door()
    const one = await client(server)
    one.send(`${method} /stream/x HTTP/1.1\r\nHost: h\r\n\r\n`)
    await eventually(() => expect(replies(one.received, method)).toHaveLength(1))
    expect(server.answered[0]?.door).toBe('fast')
    const [reply] = replies(one.received, method)
    expect(reply?.status).toBe(200)
    if (method === 'HEAD') {
      expect(Number(reply?.headers.get('content-length'))).toBeGreaterThan(0)
      expect(one.received.endsWith('\r\n\r\n')).toBe(true)
    }
  })

  it('answers pipelined requests in their order, whatever each takes', async () => {
    const server = await door({
      async serve(call) {
        const text = Buffer.from(call.body as Uint8Array).toString()
        if (text === 'slow') await new Promise((resolve) => setTimeout(resolve, 30))
        return answer(200, text)
      },
    })
    const one = await client(server)
    one.send(['slow', '2', 'slow', '4', '5'].map((text) => post('/whole', text)).join(''))
    expect((await answers(one, 5)).map((reply) => reply.body)).toEqual(['slow', '2', 'slow', '4', '5'])
    expect(server.answered.every(({ door }) => door === 'fast')).toBe(true)
  })

  it('does not read on without end while an answer is awaited', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const server = await door({ serve: async () => (await gate, answer(200, '.')) })
    const one = await client(server)
    const request = post('/whole', 'x'.repeat(1000))
    one.send(request.repeat(20_000))
    await eventually(() => expect(server.calls).toHaveLength(1))
    // What the kernel does not hold stays with the sender.
    await eventually(() => expect(one.socket.writableLength).toBeGreaterThan(0))
    const held = one.socket.writableLength
    expect(held).toBeGreaterThan(1e6)
    release()
    await eventually(() => expect(server.calls.length).toBe(20_000), { timeoutMs: 15_000 })
    await eventually(() => expect(one.answers.length).toBe(20_000), { timeoutMs: 15_000 })
  })

  it('hands what is not plain to node:http, in the middle of a connection as well', async () => {
    const server = await door()
    const one = await client(server)
    const chunked =
      'POST /whole HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'
    one.send(post('/whole', '1') + post('/whole', '2') + chunked + post('/whole', '4'))
    expect((await answers(one, 4)).map((reply) => body(reply.body).body)).toEqual(['1', '2', 'abc', '4'])
    expect(server.answered.map(({ door }) => door)).toEqual(['fast', 'fast', 'http', 'http'])
  })

  it('asks for the body of a request with Expect as node:http does', async () => {
    const server = await door()
    const one = await client(server)
    one.send('POST /whole HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n')
    await eventually(() => expect(one.received).toMatch(/^HTTP\/1\.1 100 /))
    one.send('abc')
    const [, reply] = await answers(one, 2)
    expect(body(reply?.body).body).toBe('abc')
    expect(server.answered[0]?.door).toBe('http')
  })

  it('takes an expectation that nobody knows for none', async () => {
    const server = await door()
    const one = await client(server)
    one.send('POST /whole HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 200-maybe\r\n\r\nabc')
    const [reply] = await answers(one, 1)
    expect([one.received.slice(0, 13), body(reply?.body).body]).toEqual(['HTTP/1.1 200 ', 'abc'])
  })

  it('reads a request that is split at any byte', async () => {
    const server = await door()
    const request = post('/whole/split', 'body', ['X-Field: value'])
    const one = await client(server)
    for (let at = 1; at < request.length; at++) {
      one.send(request.slice(0, at))
      await new Promise((resolve) => setImmediate(resolve))
      one.send(request.slice(at))
      const all = await answers(one, at)
      expect(body(all.at(-1)?.body)).toEqual({ method: 'POST', target: '/whole/split', body: 'body' })
    }
    expect(server.answered.every(({ door }) => door === 'fast')).toBe(true)
  })

  it('leaves a head that comes byte by byte to node:http, which answers it', async () => {
    const server = await door()
    const one = await client(server)
    for (const byte of post('/whole', 'x')) {
      one.send(byte)
      await new Promise((resolve) => setImmediate(resolve))
    }
    const [reply] = await answers(one, 1)
    expect(body(reply?.body).body).toBe('x')
  })

  it('streams a body with its length, and one without in chunks with trailers', async () => {
    const server = await door({
      serve: (call) => ({
        reply: {
          status: 200,
          headers: call.path === '/stream/known' ? ['Content-Length', '6'] : [],
          body: (async function* () {
            yield Buffer.from('abc')
            yield Buffer.from('')
            yield Buffer.from('def')
          })(),
          trailers: () => ['X-Sum', '6'],
        },
        outcome: { kind: 'none' },
      }),
    })
    const one = await client(server)
    one.send(post('/stream/known', 'x') + post('/stream/unknown', 'x') + post('/stream/known', 'x'))
    const all = await answers(one, 3)
    expect(all.map((reply) => reply.body)).toEqual(['abcdef', 'abcdef', 'abcdef'])
    expect(all[1]?.headers.get('transfer-encoding')).toBe('chunked')
    expect(one.received).toContain('\r\n0\r\nX-Sum: 6\r\n\r\n')
  })

  it('ends the connection when a streamed body is not as long as was said', async () => {
    const server = await door({
      serve: (call) => ({
        reply: {
          status: 200,
          headers: ['Content-Length', '5'],
          body: (async function* () {
            yield Buffer.from(call.path === '/stream/long' ? 'abcdefgh' : 'ab')
          })(),
        },
        outcome: { kind: 'none' },
      }),
    })
    for (const path of ['/stream/long', '/stream/short']) {
      const one = await client(server)
      one.send(post(path, 'x'))
      await closed(one)
      expect(one.answers).toHaveLength(0)
    }
  })

  it('writes no faster than the client reads', async () => {
    let pulled = 0
    const server = await door({
      serve: () => ({
        reply: {
          status: 200,
          headers: [],
          body: (async function* () {
            for (; pulled < 2000; pulled++) yield Buffer.alloc(64 * 1024, 97)
          })(),
        },
        outcome: { kind: 'none' },
      }),
    })
    const one = await client(server)
    one.socket.pause()
    one.send(post('/stream', 'x'))
    // It stops by itself, far from the end.
    let last = -1
    await eventually(async () => {
      const before = last
      last = pulled
      await new Promise((resolve) => setTimeout(resolve, 50))
      expect(pulled > 0 && pulled === before).toBe(true)
    })
    expect(pulled).toBeLessThan(1000)
    one.destroy()
    await eventually(() => expect(server.answered[0]?.fault).toBe('callerLeft'))
  })

  it('passes a streamed request body on with the speed of its reader', async () => {
    let taken = 0
    let go = () => {}
    const gate = new Promise<void>((resolve) => {
      go = resolve
    })
    const server = await door({
      maxBodyBytes: 1e9,
      async serve(call) {
        for await (const chunk of call.body as AsyncIterable<Uint8Array>) {
          if (taken === 0) await gate
          taken += chunk.length
        }
        return answer(200, String(taken))
      },
    })
    const one = await client(server)
    const size = 32 * 1024 * 1024
    one.send(post('/stream', 'y'.repeat(size)))
    await eventually(() => expect(one.socket.writableLength).toBeGreaterThan(size / 2))
    go()
    const [first] = await answers(one, 1)
    expect(first?.body).toBe(String(size))
    expect(server.answered[0]?.door).toBe('fast')
  })

  it('aborts the call when the client leaves', async () => {
    const aborted: unknown[] = []
    const server = await door({
      serve: (call) =>
        new Promise<Answer>((_, reject) =>
          call.signal.addEventListener('abort', () => {
            aborted.push(call.signal.reason)
            reject(call.signal.reason)
          }),
        ),
    })
    const one = await client(server)
    one.send(post('/whole', 'x'))
    await eventually(() => expect(server.calls).toHaveLength(1))
    one.destroy()
    await eventually(() => expect(aborted).toMatchObject([{ code: 'callerLeft' }]))
    expect(server.answered[0]).toMatchObject({ fault: 'callerLeft', status: 499 })
  })

  it('answers 504 when the call takes longer than its route allows', async () => {
    const server = await door({ timeoutMs: 50, serve: () => new Promise<Answer>(() => {}) })
    const one = await client(server)
    one.send(post('/whole', 'x') + post('/whole', 'y'))
    const all = await answers(one, 2)
    expect(all.map(({ status }) => status)).toEqual([504, 504])
    expect(all[0]?.headers.get('proxy-status')).toContain('http_response_timeout')
  })

  it('gives a failure of the answering as 500 and goes on', async () => {
    let calls = 0
    const server = await door({
      serve() {
        if (calls++ === 0) throw new Error('a bug')
        return answer(200, 'fine')
      },
    })
    const one = await client(server)
    one.send(post('/whole', 'x') + post('/whole', 'y'))
    expect((await answers(one, 2)).map(({ status }) => status)).toEqual([500, 200])
  })

  it.each([
    ['in a value', ['X-Bad', 'a\r\nSet-Cookie: b=c']],
    ['in a name', ['X-Bad: x\r\nY', 'a']],
  ])('never writes a line break that stands %s', async (_, headers) => {
    const server = await door({ serve: () => answer(200, 'x', headers) })
    const one = await client(server)
    one.send(post('/whole', 'x'))
    const [first] = await answers(one, 1)
    expect(first?.status).toBe(500)
    expect(one.received).not.toContain('Set-Cookie')
  })

  it('answers 413 to a body that is declared too long, and reads none of it as a request', async () => {
    const server = await door({ maxBodyBytes: 10 })
    const smuggled = 'GET /stream HTTP/1.1\r\nHost: h\r\n\r\n'
    const one = await client(server)
    one.send(post('/whole', smuggled) + post('/whole', 'short'))
    // All of it had arrived, so the connection is good for the next.
    expect((await answers(one, 2)).map(({ status }) => status)).toEqual([413, 200])
    const two = await client(server)
    two.send(post('/whole', `${smuggled}and more`).slice(0, -5))
    await closed(two)
    expect(two.answers.map(({ status }) => status)).toEqual([413])
    expect(two.answers[0]?.headers.get('connection')).toBe('close')
    expect(server.calls.map(({ method }) => method)).toEqual(['POST'])
  })
})

describe('a limit on heads below that of the fast door', () => {
  it('holds at either door', async () => {
    const server = await door({ maxHeaderBytes: 1024 })
    const one = await client(server)
    one.send(post('/whole', 'x', [`X-Long: ${'y'.repeat(2000)}`]))
    await closed(one)
    expect(one.answers.map(({ status }) => status)).toEqual([431])
  })
})

describe('the time the fast door gives', () => {
  it('ends after headTimeout for a connection that says nothing', async () => {
    const one = await client(await door({ headerTimeoutMs: 50 }))
    await closed(one)
    expect(one.received).toBe('')
  })

  it('ends with 408 for a head that stops', async () => {
    const one = await client(await door({ headerTimeoutMs: 50 }))
    one.send('POST /whole HTTP/1.1\r\nHost: h\r\n')
    await closed(one)
    expect(one.received).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('ends with 408 for a body that stops', async () => {
    const server = await door({ bodyTimeoutMs: 50 })
    for (const path of ['/whole', '/stream']) {
      const one = await client(server)
      one.send(post(path, 'abc').slice(0, -1))
      await closed(one)
      expect(one.received).toMatch(/^HTTP\/1\.1 408 /)
    }
  })

  it('ends after keepAliveTimeout for an idle connection, and not while a call runs', async () => {
    const { promise: done, resolve } = Promise.withResolvers<Answer>()
    const server = await door({
      keepAliveTimeoutMs: 60,
      serve: ({ path }) => (path === '/whole/late' ? done : answer(200, 'soon')),
    })
    const [busy, idle] = [await client(server), await client(server)]
    busy.send(post('/whole/late', 'a'))
    await eventually(() => expect(server.calls).toHaveLength(1))
    // It is idle from later on than the other one is busy.
    idle.send(post('/whole', 'a'))
    await closed(idle)
    expect(idle.answers.map(({ body }) => body)).toEqual(['soon'])
    expect(busy.closed).toBe(false)
    resolve(answer(200, 'late'))
    await closed(busy)
    expect(busy.answers.map(({ body }) => body)).toEqual(['late'])
  })

  it('limits the connections that are open at a time', async () => {
    const server = await door({ maxConnections: 2 })
    const first = await client(server)
    await client(server)
    const third = await client(server)
    await closed(third)
    first.send(post('/whole', 'x'))
    await answers(first, 1)
  })
})

/** Says when all have connected and asked, and in the end how many were answered. */
const WAITING_CLIENTS = `
const { parentPort, workerData: { port, count, asked, request } } = require('node:worker_threads')
const net = require('node:net')
let [open, ended, answered] = [0, 0, 0]
for (let i = 0; i < count; i++) {
  let received = ''
  const socket = net.connect(port, '127.0.0.1', () => socket.write(request, () => {
    if (++open < count) return
    Atomics.store(asked, 0, 1)
    Atomics.notify(asked, 0)
  }))
  socket.on('data', (bytes) => { received += bytes })
  socket.on('error', () => {})
  socket.on('close', () => {
    if (received.startsWith('HTTP/1.1 200')) answered++
    if (++ended === count) parentPort.postMessage(answered)
  })
}`

describe('a drain', () => {
  it('ends idle connections, lets running calls finish and says that they are the last', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const server = await door({ serve: async () => (await gate, answer(200, 'done')) })
    const [idle, busy] = [await client(server), await client(server)]
    busy.send(post('/whole', 'x'))
    await eventually(() => expect(server.calls).toHaveLength(1))
    const drained = server.drain(5000)
    await closed(idle)
    expect(busy.closed).toBe(false)
    release()
    await drained
    await closed(busy)
    expect(busy.answers[0]?.body).toBe('done')
    expect(busy.answers[0]?.headers.get('connection')).toBe('close')
  })

  it.each([true, false])('answers whoever waits in the backlog, with the fast door: %s', async (fastDoor) => {
    const server = await door({ fastDoor })
    const asked = new Int32Array(new SharedArrayBuffer(4))
    const clients = new Worker(WAITING_CLIENTS, {
      eval: true,
      workerData: { port: server.port, count: 20, asked, request: post('/whole', 'x') },
    })
    const ended = once(clients, 'message')
    // While this thread is blocked it accepts nobody.
    expect(Atomics.wait(asked, 0, 0, 20_000)).toBe('ok')
    await server.drain(5_000)
    expect(await ended).toEqual([20])
    await clients.terminate()
  })

  it('cuts what does not finish in time', async () => {
    const server = await door({ serve: () => new Promise<Answer>(() => {}) })
    const busy = await client(server)
    busy.send(post('/whole', 'x'))
    await eventually(() => expect(server.calls).toHaveLength(1))
    const closing = once(busy.socket, 'close')
    await server.drain(30)
    await closing
    expect(busy.received).toBe('')
  })
})

describe('a client who leaves in the middle of its body', () => {
  it.each([true, false])('harms nobody else, with the fast door: %s', async (fastDoor) => {
    const server = await door({ fastDoor })
    for (const path of ['/whole', '/stream']) {
      const one = await client(server)
      one.send(post(path, 'hello').slice(0, -2))
      const seen = server.answered.length
      await new Promise((resolve) => setImmediate(resolve))
      one.destroy()
      await eventually(() => expect(server.answered).toHaveLength(seen + 1))
      expect(server.answered[seen]?.fault).toBe('callerLeft')
    }
    const next = await client(server)
    next.send(post('/whole', 'still here'))
    expect((await answers(next, 1))[0]?.status).toBe(200)
  })

  it('who has connected before a drain may still ask once, and does not hold it up', async () => {
    const server = await door()
    const [asks, silent] = [await client(server), await client(server)]
    // Both are connected here once a later one is served.
    const other = await client(server)
    other.send('GET /whole/other HTTP/1.1\r\nHost: h\r\n\r\n')
    await answers(other, 1)
    const began = performance.now()
    const drained = server.drain(10_000)
    await closed(other)
    asks.send(post('/whole/late', 'x'))
    await closed(asks)
    expect(asks.answers.map(({ status, headers }) => [status, headers.get('connection')])).toEqual([
      [200, 'close'],
    ])
    await drained
    expect(performance.now() - began).toBeLessThan(4_000)
    await closed(silent)
    expect(silent.received).toBe('')
  })
})

describe('without the fast door', () => {
  it('everything is answered by node:http', async () => {
    const server = await door({ fastDoor: false })
    const one = await client(server)
    one.send(post('/whole', 'hello'))
    const [first] = await answers(one, 1)
    expect(body(first?.body).body).toBe('hello')
    expect(server.answered[0]?.door).toBe('http')
  })
})
