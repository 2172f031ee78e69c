/** What both doors promise about a connection: the order of its requests, their deadlines, and an answer that is not lost. */
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import type { Call } from '../../src/core/call.ts'
import type { Answer } from '../../src/core/reply.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { type DoorServer, post, type RawClient } from '../support/door.ts'
import { answer, answers, closed, doorClients } from '../support/door-clients.ts'
import { eventually } from '../support/eventually.ts'
import { FakeClock } from '../support/fake-clock.ts'

const { door, client } = doorClients()

async function* pieces(...texts: string[]) {
  for (const text of texts) yield Buffer.from(text)
}
const streamed = (status: number, text: string): Answer => ({
  reply: { status, headers: [], body: pieces(text) },
  outcome: { kind: 'none' },
})
const put = (path: string) => `PUT ${path} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx`
const get = (path: string, ...fields: string[]) =>
  ['GET', path, 'HTTP/1.1\r\nHost: h\r\n'].join(' ') + [...fields, '', ''].join('\r\n')
const head = (path: string, length: number, version = '1.1') =>
  `PUT ${path} HTTP/${version}\r\nHost: h\r\nContent-Length: ${length}\r\n\r\n`

/** A client that reads nothing before it has sent everything, as many do. */
async function upload(server: DoorServer, begin: string, bytes: number): Promise<RawClient> {
  const one = await client(server)
  one.socket.pause()
  one.send(begin)
  const piece = Buffer.alloc(64 << 10, 'x')
  for (let left = bytes; left > 0; left -= piece.length) {
    if (one.socket.destroyed) break
    const isSent = one.socket.write(piece.subarray(0, Math.min(left, piece.length)))
    if (!isSent) await Promise.race([once(one.socket, 'drain'), once(one.socket, 'close')])
  }
  one.socket.resume()
  return one
}

describe.each([true, false])('with the fast door: %s', (fastDoor) => {
  it.each(['{}', get('/whole/next')])(
    'nothing is said of %j behind a request that says close',
    async (more) => {
      let release = () => {}
      const gate = new Promise<void>((resolve) => (release = resolve))
      const called: string[] = []
      const server = await door({
        fastDoor,
        serve: async ({ path }) => {
          called.push(path)
          await gate
          return answer(200, 'last')
        },
      })
      const one = await client(server)
      one.send(get('/whole', 'Connection: close') + more)
      await eventually(() => expect(called).toEqual(['/whole']))
      release()
      await closed(one)
      expect(one.answers.map(({ status, body }) => [status, body])).toEqual([[200, 'last']])
      expect(called).toEqual(['/whole'])
    },
  )

  it('what comes behind a request that changes something waits for its answer', async () => {
    const begun: string[] = []
    let release = () => {}
    const gate = new Promise<void>((resolve) => (release = resolve))
    const server = await door({
      fastDoor,
      serve: async ({ method, path }) => {
        begun.push(`${method} ${path}`)
        if (method === 'PUT') await gate
        return answer(200, path)
      },
    })
    const one = await client(server)
    one.send(put('/whole/a') + get('/whole/b') + put('/whole/c') + post('/whole/d', 'x'))
    await eventually(() => expect(begun).toHaveLength(1))
    // Something that comes later is served meanwhile: time has passed.
    const other = await client(server)
    other.send(get('/whole/other'))
    await answers(other, 1)
    expect(begun).toEqual(['PUT /whole/a', 'GET /whole/other'])
    release()
    expect((await answers(one, 4)).map(({ body }) => body)).toEqual([
      '/whole/a',
      '/whole/b',
      '/whole/c',
      '/whole/d',
    ])
  })

  it('a client that sends without end is not read without end', async () => {
    const server = await door({ fastDoor, serve: () => new Promise<Answer>(() => {}) })
    const one = await client(server)
    one.send(put('/whole'))
    one.send(Buffer.from(get('/whole').repeat(500_000)))
    await eventually(() => expect(server.calls).toHaveLength(1))
    const other = await client(server)
    other.send(get('/nowhere'))
    await answers(other, 1)
    expect(one.socket.writableLength).toBeGreaterThan(4e6)
    expect(server.calls).toHaveLength(1)
  })

  it.each(['x', get('/whole/b'), put('/whole/b')])(
    'what comes behind a request that is the last is not read: %j',
    async (behind) => {
      const server = await door({ fastDoor })
      for (const last of [
        get('/whole/a', 'Connection: close'),
        post('/whole/a', 'x', ['Connection: close']),
      ]) {
        const together = await client(server)
        together.send(last + behind)
        const apart = await client(server)
        apart.send(last)
        apart.send(behind)
        for (const one of [together, apart]) {
          await closed(one)
          expect(one.answers.map(({ status }) => status)).toEqual([200])
        }
      }
      expect(server.calls.map(({ path }) => path)).toEqual(Array(4).fill('/whole/a'))
    },
  )

  it('is not shifted by a request that asks for another protocol', async () => {
    const server = await door({ fastDoor })
    const h2c = post('/whole/a', 'one', [
      'Connection: Upgrade, HTTP2-Settings',
      'Upgrade: h2c',
      'HTTP2-Settings: AAEAAEAA',
    ])
    const one = await client(server)
    one.send(h2c + post('/whole/b', 'two'))
    const [first] = await eventually(() => {
      expect(one.answers.length === 2 || one.closed).toBe(true)
      return one.answers
    })
    expect(JSON.parse(first?.body ?? '')).toMatchObject({ target: '/whole/a', body: 'one' })
    // Both are answered, or the connection ends behind the first: the client then knows that it must ask again.
    if (one.answers.length === 2) expect(one.answers[1]?.body).toContain('/whole/b')
    else expect(first?.headers.get('connection')).toBe('close')
    expect(fastDoor).toBe(one.answers.length === 2)
  })

  it.each(['1.1', '1.0'])('an early answer is not lost, and is the only one, in HTTP/%s', async (version) => {
    const server = await door({
      fastDoor,
      bodyTimeoutMs: 150,
      maxBodyBytes: 1e9,
      serve: (call) => (call.path.endsWith('whole') ? answer(413, 'too much') : streamed(413, 'too much')),
    })
    for (const path of ['/stream', '/stream/whole', '/nowhere']) {
      const one = await upload(server, head(path, 12 << 20, version), 12 << 20)
      await closed(one)
      const text = one.received
      expect(text).toMatch(path === '/nowhere' ? /^HTTP\/1\.1 404 / : /^HTTP\/1\.1 413 [^]*too much/)
      expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(1)
      one.destroy()
    }
    const large = await upload(server, head('/stream', 2e9, version), 12 << 20)
    await closed(large)
    expect(large.received).toMatch(/^HTTP\/1\.1 413 /)
  })

  it('an early answer is there before the body is, which then has a bound', async () => {
    const server = await door({ fastDoor, serve: () => streamed(200, 'early') })
    const one = await client(server)
    one.send(post('/stream', 'x'.repeat(100)).slice(0, -50))
    await answers(one, 1)
    one.send('x'.repeat(50) + get('/whole'))
    await answers(one, 2)
    const other = await client(server)
    other.send(post('/stream', 'x'.repeat(100)).slice(0, -50))
    await answers(other, 1)
    await closed(other)
    expect(other.received.match(/HTTP\/1\.1 /g)).toHaveLength(1)
  })

  it.each(['trickles', 'stops'])('408 comes in time where a head %s', async (how) => {
    const server = await door({ fastDoor, headerTimeoutMs: 1000, bodyTimeoutMs: 9000 })
    const one = await client(server)
    const began = performance.now()
    one.send('PUT /whole HTTP/1.1\r\nHost: h\r\n')
    const trickle = setInterval(() => one.send('x'), 60)
    if (how === 'stops') clearInterval(trickle)
    await closed(one)
    clearInterval(trickle)
    expect(one.received).toMatch(/^HTTP\/1\.1 408 /)
    expect(performance.now() - began).toBeGreaterThan(950)
    expect(performance.now() - began).toBeLessThan(1500)
  })

  it('a client that begins in another protocol is closed, and told of', async () => {
    let foreign = 0
    const server = await door({ fastDoor, foreign: () => foreign++ })
    for (const parts of [['INVALID CONNECTION PREFACE\r\n\r\n'], ['a few ', 'words\n']]) {
      const one = await client(server)
      for (const part of parts) one.send(part)
      await closed(one)
      expect(one.received).toBe('')
    }
    expect(foreign).toBe(2)
  })

  it('a first line that stops is told 408, and one that ends 400', async () => {
    const server = await door({ fastDoor, headerTimeoutMs: 100 })
    const [slow, left] = [await client(server), await client(server)]
    slow.send('PUT /whole HT')
    left.send('a few')
    left.socket.end()
    await Promise.all([closed(slow), closed(left)])
    expect(slow.received).toMatch(/^HTTP\/1\.1 408 /)
    expect(left.received).toMatch(/^HTTP\/1\.1 400 /)
  })

  it.each(['/whole', '/stream'])('408 comes in time where a body for %s stops', async (path) => {
    const server = await door({ fastDoor, headerTimeoutMs: 3000, bodyTimeoutMs: 300 })
    for (const begin of [head(path, 9), post(path, 'long body').slice(0, -9)]) {
      const one = await client(server)
      const began = performance.now()
      one.send(`${begin}half`)
      await closed(one)
      expect(one.received).toMatch(/^HTTP\/1\.1 408 /)
      expect(performance.now() - began).toBeGreaterThan(280)
      expect(performance.now() - began).toBeLessThan(900)
    }
  })

  it('a body that is passed on may take longer than that while it flows', async () => {
    const clock = new FakeClock()
    let bytes = 0
    const server = await door({
      fastDoor,
      bodyTimeoutMs: 150,
      wheel: new Wheel(clock),
      serve: async ({ body }) => {
        for await (const piece of body as AsyncIterable<Uint8Array>) bytes += piece.length
        return answer(200, 'all')
      },
    })
    const [one, other] = [await client(server), await client(server)]
    one.send(head('/stream', 10))
    for (let sent = 1; sent <= 9; sent++) {
      one.send('x')
      await eventually(() => expect(bytes).toBe(sent))
      clock.advance(120)
    }
    one.send('x')
    expect((await answers(one, 1))[0]?.status).toBe(200)
    other.send(`${head('/stream', 10)}x`)
    await eventually(() => expect(bytes).toBe(11))
    clock.advance(200)
    expect((await answers(other, 1))[0]?.status).toBe(408)
  })

  it('HTTP/1.0 hears no 100', async () => {
    const server = await door({ fastDoor })
    for (const version of ['1.0', '1.1']) {
      const one = await client(server)
      one.send(`POST /whole HTTP/${version}\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx`)
      await eventually(() => expect(one.received).toContain('200 OK'))
      expect(one.received.includes('100 Continue')).toBe(version === '1.1')
    }
  })

  it.each([get, put])(
    'while the gateway leaves, the answer to %o is the last on its connection',
    async (ask) => {
      const server = await door({ fastDoor })
      const [kept, fresh] = [await client(server), await client(server)]
      kept.send(ask('/whole/1'))
      expect((await answers(kept, 1))[0]?.headers.get('connection')).toBe('keep-alive')
      server.leave()
      const later = await client(server)
      for (const one of [kept, fresh, later]) {
        one.send(ask('/whole/2'))
        await closed(one)
        expect(one.answers.at(-1)?.status).toBe(200)
        expect(one.answers.at(-1)?.headers.get('connection')).toBe('close')
      }
      expect(server.calls).toHaveLength(4)
    },
  )

  it('while the gateway leaves, what has been read is answered, and the last answer says so', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => (release = resolve))
    const server = await door({ fastDoor, serve: async ({ path }) => (await gate, answer(200, path)) })
    const one = await client(server)
    one.send(get('/whole/a') + post('/stream/b', 'x') + get('/whole/c'))
    await eventually(() => expect(server.calls).toHaveLength(1))
    server.leave()
    release()
    await closed(one)
    expect(one.answers.map(({ body, headers }) => [body, headers.get('connection')])).toEqual([
      ['/whole/a', 'keep-alive'],
      ['/stream/b', 'keep-alive'],
      ['/whole/c', 'close'],
    ])
  })

  it('no tunnel is opened, and CONNECT is told so in its turn', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => (release = resolve))
    const long = 'x'.repeat(4 << 20)
    const server = await door({
      fastDoor,
      serve: async ({ path }) => {
        if (path === '/whole/slow') await gate
        return path === '/stream/long' ? streamed(200, long) : answer(200, path)
      },
    })
    const tunnel = 'CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n\x16\x03\x01 hello'
    const told = async (asked: string, before: readonly string[] = []) => {
      const one = await client(server)
      one.send(asked)
      release()
      await closed(one)
      expect(one.answers.map(({ status }) => status)).toEqual([...before.map(() => 200), 501])
      expect(one.answers.slice(0, -1).map(({ body }) => body)).toEqual(before)
      const last = one.answers.at(-1)
      expect(last?.headers.get('connection')).toBe('close')
      expect(last?.headers.get('proxy-status')).toBe('infergate; error=http_request_error')
      expect(JSON.parse(last?.body ?? '')).toMatchObject({ status: 501 })
    }
    await told(tunnel)
    await told('CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 9\r\n\r\nbody')
    await told(get('/whole/slow') + tunnel, ['/whole/slow'])
    await told(get('/whole/a') + get('/stream/long') + tunnel, ['/whole/a', long])
    expect(server.calls).toHaveLength(3)
  })

  // A caller that has sent all may close its end and wait for its answer; TCP does not tell it from one that leaves.
  const cutUp = (text: string) => [[text], [text.slice(0, -3), text.slice(-3)], text.split('')]
  const said = async (server: DoorServer, parts: readonly string[]) => {
    const one = await client(server)
    for (const part of parts) {
      one.send(part)
      await new Promise((resolve) => setImmediate(resolve))
    }
    one.socket.end()
    await closed(one)
    return one.answers.map(({ status, body }) => [status, body])
  }
  const slowly = async ({ path, body }: Call): Promise<Answer> => {
    if (!(body instanceof Uint8Array)) for await (const _ of body);
    await new Promise((resolve) => setTimeout(resolve, 20))
    return path.endsWith('pieces') ? streamed(200, path) : answer(200, path)
  }

  it.each(['/whole', '/stream', '/stream/pieces'])(
    'who has sent all and closes its end gets its answers: %s',
    async (path) => {
      const server = await door({ fastDoor, serve: slowly })
      for (const ask of [post(path, 'hello'), put(path), get(path)]) {
        for (const parts of cutUp(ask)) expect(await said(server, parts)).toEqual([[200, path]])
      }
      const two = await said(server, [post(path, 'hello') + post(path, 'again')])
      expect(two).toEqual([
        [200, path],
        [200, path],
      ])
    },
  )

  it('who closes its end behind requests of which one is not plain gets all answers, and 400 for half a one', async () => {
    const server = await door({ fastDoor, serve: slowly })
    const inChunks = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`
    const first = post('/whole/a', 'hello')
    for (const path of ['/whole/b', '/stream/b', '/stream/pieces'])
      for (const odd of [put(path), inChunks(path)]) {
        expect(await said(server, [first + odd])).toEqual([
          [200, '/whole/a'],
          [200, path],
        ])
        expect(await said(server, [first + odd + post('/whole/c', 'hello')])).toEqual([
          [200, '/whole/a'],
          [200, path],
          [200, '/whole/c'],
        ])
        for (const cut of [1, odd.length - 12])
          expect(await said(server, [first + odd.slice(0, -cut)])).toMatchObject([
            [200, '/whole/a'],
            [400, expect.any(String)],
          ])
      }
  })

  it('empty lines in front of a request are read over, also if the end is closed behind them', async () => {
    const server = await door({ fastDoor, serve: slowly })
    const ask = (path: string) => post(path, 'hello')
    expect(await said(server, [`${ask('/whole')}\r\n`])).toEqual([[200, '/whole']])
    expect(await said(server, [`${ask('/whole')}\r\n${ask('/stream')}\r\n\r\n`])).toEqual([
      [200, '/whole'],
      [200, '/stream'],
    ])
    expect(await said(server, [`${ask('/whole')}\r\n${ask('/stream').slice(0, -1)}`])).toMatchObject([
      [200, '/whole'],
      [400, expect.any(String)],
    ])
  })

  it.each(['/whole', '/stream'])('who closes its end within a body is told 400: %s', async (path) => {
    const server = await door({ fastDoor, serve: slowly })
    for (const ask of [post(path, 'hello').slice(0, -2), put(path).slice(0, -1)])
      for (const parts of cutUp(ask))
        expect(await said(server, parts)).toMatchObject([[400, expect.any(String)]])
  })

  it('who closes its end within a request behind others is told so behind their answers', async () => {
    const server = await door({ fastDoor, serve: slowly })
    const sent = post('/whole/a', 'hello') + post('/stream/b', 'hello')
    for (const cut of [3, 40, sent.length / 2 - 4])
      expect(await said(server, [sent.slice(0, -cut)])).toMatchObject([
        [200, '/whole/a'],
        [400, expect.any(String)],
      ])
  })

  const hung = ({ signal }: Call): Promise<Answer> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  const http10 = (request: string) => request.replaceAll('HTTP/1.1', 'HTTP/1.0')

  it.each([get, put])('who has closed its end waits for as long as any other: %o', async (ask) => {
    const gate = Promise.withResolvers<void>()
    const serve = async ({ path }: Call) => (await gate.promise, answer(200, path))
    const server = await door({ fastDoor, serve })
    const one = await client(server)
    one.send(ask('/whole/a') + ask('/whole/b'))
    one.socket.end()
    await answers(one, 2)
    gate.resolve()
    await closed(one)
    expect(one.answers.map(({ status, body }) => [status, body])).toEqual([
      [100, ''],
      [100, ''],
      [200, '/whole/a'],
      [200, '/whole/b'],
    ])
  })

  /** A body whose last piece comes when it is released. */
  function slowBody(headers: string[] = []) {
    const gate = Promise.withResolvers<void>()
    async function* body() {
      yield Buffer.from('first ')
      await gate.promise
      yield Buffer.from('last')
    }
    const serve = async (): Promise<Answer> => ({
      reply: { status: 200, headers, body: body() },
      outcome: { kind: 'none' },
    })
    return { serve, release: gate.resolve }
  }

  it('zeros keep a silent answer in chunks going, and belong to the size of the next chunk', async () => {
    const { serve, release } = slowBody()
    const server = await door({ fastDoor, serve })
    const one = await client(server)
    one.send(get('/stream'))
    await eventually(() => expect(one.received).toContain('first'))
    one.socket.end()
    await eventually(() => expect(one.received).toMatch(/first \r\n00$/))
    release()
    await closed(one)
    expect(one.received).toMatch(/first \r\n0+4\r\nlast\r\n0+\r\n\r\n$/)
    expect(one.answers).toMatchObject([{ status: 200, body: 'first last' }])
  })

  it.each([
    ['a body with a length', get('/stream'), ['Content-Length', '10']],
    ['HTTP/1.0', http10(get('/stream')), []],
  ])('nothing is written between the pieces of %s', async (_, request, headers) => {
    const clock = new FakeClock()
    const { serve, release } = slowBody(headers)
    const server = await door({ fastDoor, wheel: new Wheel(clock), serve })
    const [one, other] = [await client(server), await client(server)]
    one.send(request)
    await eventually(() => expect(one.received).toContain('first'))
    one.socket.end()
    // When this is answered, the end of the other has been seen.
    other.send(get('/stream'))
    await eventually(() => expect(other.received).toContain('first'))
    for (const ms of [200, 400, 800]) clock.advance(ms)
    release()
    await closed(one)
    expect(one.received).toMatch(/\r\n\r\nfirst last$/)
  })

  it('who speaks HTTP/1.0 and has closed its end is told nothing before its answer', async () => {
    const clock = new FakeClock()
    const gate = Promise.withResolvers<void>()
    const serve = async ({ path }: Call) => {
      if (path === '/whole/slow') await gate.promise
      return answer(200, path)
    }
    const server = await door({ fastDoor, wheel: new Wheel(clock), serve })
    const [one, other] = [await client(server), await client(server)]
    one.send(http10(get('/whole/slow')))
    one.socket.end()
    await eventually(() => expect(server.calls).toHaveLength(1))
    other.send(get('/whole'))
    await answers(other, 1)
    for (const ms of [200, 400, 800]) clock.advance(ms)
    gate.resolve()
    await closed(one)
    expect(one.answers).toMatchObject([{ status: 200, body: '/whole/slow' }])
  })

  it('who has left before the answer is found out, and its call is cancelled', async () => {
    const server = await door({ fastDoor, serve: hung })
    const one = await client(server)
    one.send(post('/whole', 'hello'))
    await eventually(() => expect(server.calls).toHaveLength(1))
    one.destroy()
    await eventually(() => expect(server.answered).toMatchObject([{ fault: 'callerLeft' }]))
  })

  it('who has left in the middle of a silent answer is found out, and its call is cancelled', async () => {
    const { serve, release } = slowBody()
    const server = await door({ fastDoor, serve })
    const one = await client(server)
    one.send(get('/stream'))
    await eventually(() => expect(one.received).toContain('first'))
    one.destroy()
    await eventually(() => expect(server.calls[0]?.signal.aborted).toBe(true))
    release()
  })

  it.each(['/whole', '/stream'])('a chunk that is too long is refused by its size: %s', async (path) => {
    const server = await door({ fastDoor, maxBodyBytes: 1000, bodyTimeoutMs: 60_000 })
    const chunks = `POST ${path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n`
    const fine = `${chunks}5;x=y\r\nhello\r\n3e2\r\n${'x'.repeat(994)}\r\n0\r\nT: v\r\n\r\n`
    for (const [size, status] of [
      ['ffffffffffffffff', 413],
      ['00003e9', 413],
      ['3e8;extension=1', 413],
      ['10000000000000000', 400],
      ['size', 400],
    ] as const) {
      for (const before of ['', `\r\n${fine}${put(path)}${get(path)}`]) {
        const sent = `${before}${chunks}1\r\nx\r\n${size}\r\nabc`
        for (const parts of cutUp(sent).slice(0, before === '' ? 3 : 2)) {
          const one = await client(server)
          for (const part of parts) one.send(part)
          await closed(one)
          expect(one.answers.map((each) => each.status)).toEqual([...(before ? [200, 200, 200] : []), status])
        }
      }
    }
    const whole = await client(server)
    whole.send(fine + fine)
    expect((await answers(whole, 2)).map(({ status }) => status)).toEqual([200, 200])
  })
})
