/** The admin listener on a real socket: who is let in, what is refused and how, and the stream of events. */
import { once } from 'node:events'
import { get, request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { tokenHash } from '../../src/control/admin/auth.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from '../support/control-plane.ts'
import { eventually } from '../support/eventually.ts'
import { call } from '../support/http.ts'
import { exchange } from '../support/raw.ts'

let plane: ControlPlane | undefined

afterEach(async () => {
  await plane?.close()
  plane = undefined
})

async function start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  plane = await startControlPlane(options)
  return plane
}

const BACKEND = '/api/v1/pools/ranker/backends/gpu-1'
const spec = { url: 'http://127.0.0.1:1', epoch: 1 }

describe('the paths', () => {
  test('answer live, ready with its reasons, metrics and stats', async () => {
    const { port } = await start({
      parts: { ready: () => ({ ok: false, reasons: ['no route has a backend'] }) },
    })
    expect(await call(port, '/livez')).toMatchObject({ status: 200, json: { status: 'ok' } })
    expect(await call(port, '/readyz')).toMatchObject({
      status: 503,
      json: { reasons: ['no route has a backend'] },
    })
    expect(await call(port, '/metrics')).toMatchObject({ status: 200, text: 'infergate_up 1\n' })
    expect(await call(port, '/api/v1/cache/stats')).toMatchObject({ status: 200, json: { tiers: [] } })
    expect(await call(port, '/livez', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' })
  })

  test('that do not exist are problems, as are methods they do not take', async () => {
    const { port } = await start()
    const missing = await call(port, '/api/v1/nothing')
    expect(missing).toMatchObject({ status: 404, json: { status: 404, title: 'Not Found' } })
    expect(missing.headers['content-type']).toBe('application/problem+json')
    const wrong = await call(port, BACKEND)
    expect(wrong.status).toBe(405)
    expect(wrong.headers['allow']).toBe('PUT, PATCH, DELETE')
    expect(await call(port, '/api/v1/scale')).toMatchObject({ status: 404 })
    expect(await call(port, '/api/v1/pools/%zz')).toMatchObject({ status: 400 })
  })

  test('of the scaler answer once there is one', async () => {
    const { port } = await start({
      parts: { scale: (pool) => (pool === 'gone' ? undefined : { desired: 3 }) },
    })
    expect(await call(port, '/api/v1/scale')).toMatchObject({ status: 200, json: { desired: 3 } })
    expect(await call(port, '/api/v1/scale/gone')).toMatchObject({ status: 404 })
  })

  test('keep the status of what a part of the gateway refuses, and hide what broke in it', async () => {
    const explain = async () => {
      throw new GatewayError('unknownRoute', 'no route matches /x')
    }
    const purge = async () => {
      throw new TypeError('secret detail')
    }
    const { port } = await start({ parts: { explain, purge } })
    const body = { method: 'POST', path: '/x' }
    const refused = await call(port, '/api/v1/cache/explain', { method: 'POST', body })
    expect(refused).toMatchObject({ status: 404, json: { detail: 'no route matches /x' } })
    const broken = await call(port, '/api/v1/cache/purge', { method: 'POST', body: { all: true } })
    expect(broken.status).toBe(500)
    expect(broken.text).not.toContain('secret')
  })
})

describe('a web page in somebody’s browser', () => {
  const put = (port: number, headers: Record<string, string>, body: unknown = spec) =>
    call(port, BACKEND, { method: 'PUT', headers, body })

  test.each([
    ['a name of its own for our address', { host: 'rebind.example' }, 403],
    ['such a name with a port', { host: 'rebind.example:9090' }, 403],
    ['a name that only begins like ours', { host: 'localhost.example' }, 403],
    ['another origin', { origin: 'https://evil.example' }, 403],
    ['an opaque origin', { origin: 'null' }, 403],
    ['another port of this machine', { origin: 'http://127.0.0.1:1' }, 403],
    ['a cross-site fetch', { 'sec-fetch-site': 'cross-site' }, 403],
    ['a form’s content type', { 'content-type': 'text/plain' }, 415],
    ['a form’s content type with ours in it', { 'content-type': 'text/plain; application/json' }, 415],
  ])('cannot write with %s', async (_name, headers, status) => {
    const { port, registry } = await start()
    expect((await put(port, headers)).status).toBe(status)
    expect(registry.view('ranker')?.backends).toEqual([])
  })

  test('cannot read under a name of its own either, while no token is needed', async () => {
    const { port } = await start()
    const headers = { host: 'rebind.example' }
    expect((await call(port, '/api/v1/pools', { headers })).status).toBe(403)
    expect((await call(port, '/livez', { headers })).status).toBe(200)
  })

  test('is no hindrance to an operator', async () => {
    const { port } = await start({ admin: { hosts: ['gateway.internal', 'proxy.internal:8443'] } })
    const allowed = [
      { host: 'localhost:9090' },
      { host: '[::1]:9090' },
      { host: 'Gateway.Internal' },
      { host: 'proxy.internal:8443' },
      { host: `127.0.0.1:${port}`, origin: `http://127.0.0.1:${port}`, 'sec-fetch-site': 'same-origin' },
      { 'content-type': 'application/json; charset=utf-8' },
    ]
    for (const headers of allowed) expect((await put(port, headers)).status).toBeLessThan(300)
  })
})

describe('a body', () => {
  const put = (port: number, body: unknown) =>
    call(port, BACKEND, { method: 'PUT', body, headers: { 'content-type': 'application/json' } })

  test.each([
    ['that is not JSON', '{"url":', /not JSON/],
    ['that is a word', 'register', /not JSON/],
    ['that is empty', '', /JSON object/],
    ['that is a list', [], /JSON object/],
    ['with a misspelt name', { ...spec, weigth: 2 }, /weigth is not known; did you mean "weight"/],
    ['with a prototype in it', '{"url":"http://h","__proto__":{}}', /__proto__ is not known/],
    ['without an address', {}, /must have url, grpc, or both/],
    ['with a URL that leads to credentials', { url: 'http://169.254.169.254' }, /metadata/],
    ['with a URL that is no HTTP', { url: 'ftp://h' }, /scheme/],
    ['with a weight of nothing', { ...spec, weight: 0 }, /weight must be a number from 0.01/],
    ['with an epoch in fractions', { ...spec, epoch: 1.5 }, /epoch must be an integer/],
    ['with a fault deep inside', { ...spec, models: [{ name: 'm' }, {}] }, /models\[1\].name is missing/],
  ])('%s is refused with the reason', async (_name, body, reason) => {
    const { port } = await start()
    const answer = await put(port, body)
    expect(answer.status).toBe(400)
    expect((answer.json as { detail: string }).detail).toMatch(reason)
  })

  test('with several faults hears of all of them', async () => {
    const { port } = await start()
    const { json } = await put(port, { weight: 'heavy', zone: 7, lease: { ttl: 5 } })
    expect((json as { errors: string[] }).errors).toHaveLength(4)
  })

  test('that names our own listener is refused', async () => {
    const { port } = await start()
    expect(await put(port, { url: `http://127.0.0.1:${port}` })).toMatchObject({ status: 400 })
  })

  test.each([
    ['no HTTP at all', 'BAD\r\n\r\n', 400],
    [
      'a head that is too long',
      `GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
      400,
    ],
    ['an expectation', 'GET /nope HTTP/1.1\r\nHost: localhost\r\nExpect: 200-maybe\r\n\r\n', 404],
  ])('that is %s is answered with a problem', async (_what, bytes, status) => {
    const { port } = await start()
    const reply = await exchange(port, bytes)
    expect(reply.status).toBe(status)
    expect(reply.head).toMatch(/^content-type: application\/problem\+json/im)
    expect(reply.body).toContain(`"status":${status},"detail":"`)
  })

  test('larger than 64 KiB is refused, announced or not, and explain takes more', async () => {
    const { port } = await start()
    const large = { ...spec, labels: { big: 'x'.repeat(70_000) } }
    expect((await put(port, large)).status).toBe(413)
    const chunked = { method: 'PUT', body: large, headers: { 'transfer-encoding': 'chunked' } }
    expect((await call(port, BACKEND, chunked)).status).toBe(413)
    const body = { method: 'POST', path: '/v1/models/m:predict', body: 'x'.repeat(1_000_000) }
    expect((await call(port, '/api/v1/cache/explain', { method: 'POST', body })).status).toBe(200)
  })

  test.each([
    [{ body: '{}' }, 200],
    [{ bodyBase64: '/wA=' }, 200],
    [{ bodyBase64: '/wA' }, 400],
    [{ bodyBase64: '/wA=!' }, 400],
    [{ bodyBase64: '_wA=' }, 400],
    [{ bodyBase64: 1 }, 400],
    [{ bodyBase64: '/wA=', body: '' }, 400],
  ])('explain takes text or bytes: %j', async (given, status) => {
    const { port } = await start()
    const body = { method: 'POST', path: '/v2/models/m/infer', ...given }
    const answer = await call(port, '/api/v1/cache/explain', { method: 'POST', body })
    expect(answer.status).toBe(status)
    if (status === 400) expect(answer.text).toContain('bodyBase64')
  })

  test.each([
    [{}, 400],
    [{ tags: [] }, 400],
    [{ all: false }, 400],
    [{ all: true, model: 'm' }, 400],
    [{ version: '3' }, 400],
    [{ modle: 'm' }, 400],
    [{ all: true }, 200],
    [{ model: 'm', version: '3' }, 200],
    [{ tags: ['eu'] }, 200],
  ])('of a purge that is %o is answered with %i', async (body, status) => {
    const { port } = await start()
    expect((await call(port, '/api/v1/cache/purge', { method: 'POST', body })).status).toBe(status)
  })
})

describe('tokens', () => {
  const tokens = [
    { hash: tokenHash('reader'), scopes: ['read'] },
    { hash: tokenHash('worker'), scopes: ['register:ranker'] },
    { hash: tokenHash('purger'), scopes: ['purge'] },
    { hash: tokenHash('chief'), scopes: ['admin'] },
  ]
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

  test.each([
    ['nobody', '/livez', 'GET', 200],
    ['nobody', '/readyz', 'GET', 200],
    ['nobody', '/metrics', 'GET', 401],
    ['nobody', '/api/v1/pools', 'GET', 401],
    ['stranger', '/api/v1/pools', 'GET', 401],
    ['reader', '/api/v1/pools', 'GET', 200],
    ['reader', '/metrics', 'GET', 200],
    ['reader', BACKEND, 'PUT', 403],
    ['worker', BACKEND, 'PUT', 201],
    ['worker', '/api/v1/pools/other/backends/b', 'PUT', 403],
    ['worker', '/api/v1/pools', 'GET', 403],
    ['worker', '/api/v1/cache/purge', 'POST', 403],
    ['purger', '/api/v1/cache/purge', 'POST', 200],
    ['chief', '/api/v1/cache/purge', 'POST', 200],
    ['chief', BACKEND, 'PUT', 201],
  ])('let %s at %s by %s have %i', async (token, path, method, status) => {
    const { port } = await start({ admin: { tokens } })
    const body = method === 'PUT' ? spec : method === 'POST' ? { all: true } : undefined
    const headers = token === 'nobody' ? {} : bearer(token)
    const answer = await call(port, path, { method, headers, ...(body ? { body } : {}) })
    expect(answer.status).toBe(status)
    if (status === 401) expect(answer.headers['www-authenticate']).toMatch(/^Bearer/)
    if (status === 403) expect((answer.json as { detail: string }).detail).toMatch(/lacks the scope/)
  })

  test('leave /metrics open where the settings say so, and are replaced live', async () => {
    const { port, admin } = await start({ admin: { tokens, openMetrics: true } })
    expect((await call(port, '/metrics')).status).toBe(200)
    const next = [{ hash: tokenHash('new'), scopes: ['read'] }]
    admin.update({ host: '127.0.0.1', port: 0, tokens: next, openMetrics: false, hosts: [] })
    expect((await call(port, '/api/v1/pools', { headers: bearer('reader') })).status).toBe(401)
    expect((await call(port, '/api/v1/pools', { headers: bearer('new') })).status).toBe(200)
  })

  test('are needed on a listener that others can reach', async () => {
    await expect(startControlPlane({ admin: { host: '0.0.0.0' } })).rejects.toThrow(
      /listen on 127.0.0.1, or give admin.tokens/,
    )
  })

  test.each([
    [{ hash: 'secret', scopes: ['read'] }, /sha256/],
    [{ hash: tokenHash(''), scopes: ['read'] }, /sha256/],
    [{ hash: tokenHash('t'), scopes: [] }, /scopes/],
    [{ hash: tokenHash('t'), scopes: ['root'] }, /scopes.*root/],
  ])('written as %o are refused at the start', async (token, reason) => {
    await expect(startControlPlane({ admin: { tokens: [token] } })).rejects.toThrow(reason)
  })
})

describe('the listener', () => {
  test('says what to do when its port is taken', async () => {
    const { port } = await start()
    await expect(startControlPlane({ admin: { port } })).rejects.toThrow(/another process has it/)
  })

  test('answers bytes that are not HTTP with 400 and goes on', async () => {
    const { port } = await start()
    const socket = connect(port, '127.0.0.1')
    socket.end('nonsense\r\n\r\n')
    const [first] = (await once(socket, 'data')) as [Buffer]
    expect(first.toString()).toMatch(/^HTTP\/1.1 400/)
    expect((await call(port, '/livez')).status).toBe(200)
  })

  test.each([
    ['no Host', 'GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['two Hosts', 'GET /livez HTTP/1.1\r\nHost: a\r\nhost: b\r\nConnection: close\r\n\r\n', 400],
    ['bytes that are not HTTP', 'nonsense\r\n\r\n', 400],
    ['a head without end', `GET /livez HTTP/1.1\r\nx: ${'x'.repeat(20_000)}`, 400],
  ])('says what is wrong as any other problem: %s', async (_, bytes, status) => {
    const { port } = await start()
    const answer = await exchange(port, bytes)
    expect(answer.status).toBe(status)
    expect(answer.head).toMatch(/content-type: application\/problem\+json/i)
    expect(JSON.parse(/\{.*\}/.exec(answer.body)?.[0] ?? '')).toMatchObject({
      status,
      detail: expect.any(String),
    })
  })

  test('asks HTTP/1.0 for no Host', async () => {
    const { port } = await start()
    expect((await exchange(port, 'GET /livez HTTP/1.0\r\n\r\n')).status).toBe(200)
  })
})

describe('the stream of events', () => {
  async function follow(port: number): Promise<{ response: IncomingMessage; text: () => string }> {
    const request = get({ host: '127.0.0.1', port, path: '/api/v1/events', agent: false })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    let text = ''
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    response.on('error', () => {})
    return { response, text: () => text }
  }

  test('begins with the present pools and goes on with every change', async () => {
    const { port } = await start()
    const { response, text } = await follow(port)
    expect(response.headers['content-type']).toBe('text/event-stream')
    await eventually(() =>
      expect(text()).toMatch(
        /^retry: 2000\n\nevent: caller\ndata: {"name":"local","scopes":\["admin"\]}\n\nevent: pool\ndata: {"pool":"ranker".*"backends":\[\]}\n\n$/,
      ),
    )
    await call(port, BACKEND, { method: 'PUT', body: spec })
    await eventually(() => expect(text()).toMatch(/id: \d+\nevent: pool\ndata: .*"id":"gpu-1"/))
    response.destroy()
  })

  test('has a head for who asks for that alone, and keeps no place for it', async () => {
    const { port, admin } = await start()
    const request = httpRequest({ host: '127.0.0.1', port, path: '/api/v1/events', method: 'HEAD' })
    request.end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    expect(response.headers['content-type']).toBe('text/event-stream')
    await once(response.resume(), 'end')
    expect(admin.events.size).toBe(0)
  })

  test('ends for everyone when the tokens change, and when the listener closes', async () => {
    const { port, admin } = await start()
    const first = await follow(port)
    admin.update({ host: '127.0.0.1', port: 0, tokens: [], openMetrics: false, hosts: [] })
    await once(first.response, 'end')
    const second = await follow(port)
    const ended = once(second.response, 'end')
    await admin.close()
    await ended
  })

  test('drops a client that does not read, and forgets one that left', async () => {
    const { port, admin } = await start()
    const reader = await follow(port)
    const idle = connect(port, '127.0.0.1')
    idle.pause()
    idle.on('error', () => {})
    idle.write(`GET /api/v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`)
    await eventually(() => expect(admin.events.size).toBe(2))
    const data = 'x'.repeat(100_000)
    await eventually(() => {
      admin.events.publish('load', data)
      expect(admin.events.size).toBe(1)
    })
    expect(reader.response.destroyed).toBe(false)
    reader.response.destroy()
    await eventually(() => expect(admin.events.size).toBe(0))
    idle.destroy()
  })
})

describe('more connections than there is room for', () => {
  const idle = (port: number, count: number) =>
    Promise.all(
      Array.from({ length: count }, async () => {
        const socket = connect(port, '127.0.0.1')
        socket.on('error', () => {})
        await once(socket, 'connect')
        return socket
      }),
    )

  test('that say nothing shut nobody out: the one that was still for longest goes', async () => {
    const { port } = await start()
    const sockets = await idle(port, 300)
    expect(await call(port, '/livez')).toMatchObject({ status: 200 })
    expect(await call(port, '/readyz')).toMatchObject({ status: 200 })
    await eventually(() => expect(sockets[0]?.destroyed).toBe(true))
    expect(sockets.at(-1)?.destroyed).toBe(false)
    for (const socket of sockets) socket.destroy()
  })

  test('do not end those of who has shown a token, nor what is being answered', async () => {
    const { port, admin } = await start({ admin: { tokens: [{ hash: tokenHash('t'), scopes: ['read'] }] } })
    const followed = get({
      port,
      path: '/api/v1/events',
      headers: { authorization: 'Bearer t' },
      agent: false,
    })
    const [events] = (await once(followed, 'response')) as [IncomingMessage]
    const known = connect(port, '127.0.0.1')
    known.write('GET /api/v1/pools HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer t\r\n\r\n')
    await once(known, 'data')
    const sockets = await idle(port, 400)
    const heard = once(events, 'data')
    admin.events.publish('pool', { pool: 'ranker' })
    await heard
    known.write('GET /api/v1/pools HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer t\r\n\r\n')
    await once(known, 'data')
    for (const socket of [...sockets, known]) socket.destroy()
    followed.destroy()
  })
})
