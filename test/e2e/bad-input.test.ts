/** Whatever a client, a backend or the machine does wrong: a clear answer, and the next good call is served. */

import { once } from 'node:events'
import { openSync } from 'node:fs'
import net from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway, written } from '../support/gateway.ts'
import { exchange } from '../support/raw.ts'
import { freePort } from '../support/servers.ts'
import { instances, PREDICT, settings } from '../support/settings.ts'

let backend: ScriptedBackend
let gateway: RunningGateway
let n = 0

beforeAll(async () => {
  backend = await startBackend((asked, response, request) => {
    try {
      JSON.parse(asked.body.toString())
    } catch {
      response.writeHead(400, { 'content-type': 'application/json' })
      return void response.end('{ "error": "JSON Parse error: no value" }')
    }
    return summing(asked, response, request)
  })
  const dead = await freePort()
  const base = settings({
    backends: [backend],
    server: {
      limits: {
        maxBodyBytes: '64KiB',
        maxHeaderBytes: '4KiB',
        headerTimeout: '400ms',
        bodyTimeout: '600ms',
      },
    },
  })
  gateway = await startGateway({
    yaml: {
      ...base,
      pools: {
        ...base.pools,
        dead: { backends: [{ url: `http://127.0.0.1:${dead}` }], health: { interval: '200ms' } },
        named: {
          backends: [{ url: backend.url, models: [{ name: 'known' }] }],
          health: { path: 'off' },
        },
        empty: {},
      },
      routes: [
        { name: 'dead1', match: { path: '/v1/models/dead*' }, pool: 'dead', cache: {} },
        { name: 'dead2', match: { path: '/v2/models/dead*' }, pool: 'dead', cache: {} },
        { name: 'dead3', match: { path: '/dead' }, pool: 'dead', protocol: 'opaque' },
        { name: 'empty', match: { path: '/v1/models/empty*' }, pool: 'empty', cache: {} },
        { name: 'named', match: { headers: { 'x-pool': 'named' } }, pool: 'named', cache: {} },
        { name: 'opaque', match: { path: '/opaque*' }, pool: 'main', protocol: 'opaque' },
        { name: 'main', match: { path: '/v*' }, pool: 'main', cache: { rows: 'never' } },
      ],
    },
  })
  await gateway.ready('main')
})
afterAll(async () => {
  await gateway?.stop()
  await backend?.close()
})

/** After everything that goes wrong, the next caller is served. */
afterEach(async () => {
  const { status, json } = await gateway.post(PREDICT, instances(++n, 1))
  expect(status).toBe(200)
  expect(json).toEqual({ predictions: [n, 1] })
})

const post = (path: string, head: string, body = '') =>
  exchange(gateway.port, `POST ${path} HTTP/1.1\r\nHost: a\r\n${head}\r\n${body}`)

describe('a body', () => {
  it('of broken JSON gets the backend’s own error, which is not kept', async () => {
    const before = backend.asked.length
    for (let i = 0; i < 2; i++) {
      const { status, text, headers } = await gateway.post(PREDICT, '{"instances": [')
      expect(status).toBe(400)
      expect(text).toBe('{ "error": "JSON Parse error: no value" }')
      expect(headers['cache-status']).toMatch(/^infergate; fwd=bypass; fwd-status=400/)
    }
    expect(backend.asked.length - before).toBe(2)
  })

  it('that ends before its Content-Length reaches no backend', async () => {
    const before = backend.asked.length
    const cut = await exchange(
      gateway.port,
      `POST ${PREDICT} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"instances"`,
      { end: true },
    )
    expect([0, 400]).toContain(cut.status)
    expect(backend.asked.length).toBe(before)
  })

  it('that does not come at all is given up with 408', async () => {
    const { status } = await post(PREDICT, 'Content-Length: 100\r\n', '{"inst')
    expect(status).toBe(408)
  })

  it('that is longer than its Content-Length is read as far as that, and the rest is no second call', async () => {
    const body = '{"instances":[5]}'
    const before = backend.asked.length
    const { status, body: text } = await post(
      PREDICT,
      `Content-Length: ${body.length}\r\n`,
      `${body}garbage\r\n\r\n`,
    )
    expect(status).toBe(200)
    // What follows is told to be no request, and the connection ends.
    expect(text).toMatch(/^\{"predictions":\[5\]\}(?:HTTP\/1\.1 400 |$)/)
    expect(backend.asked.length).toBe(before + 1)
  })

  it.each([
    ['on a route that caches', PREDICT, { error: expect.stringContaining('maxBodyBytes') }],
    ['on an opaque route', '/opaque/1', { status: 413, detail: expect.stringContaining('maxBodyBytes') }],
  ])('that says it is too long is refused with 413 %s', async (_, path, wanted) => {
    const { status, body } = await post(path, 'Content-Length: 70000\r\n')
    expect(status).toBe(413)
    expect(JSON.parse(body)).toMatchObject(wanted)
  })

  it.each([
    ['on a route that caches', PREDICT],
    ['on an opaque route', '/opaque/1'],
  ])('that turns out to be too long is refused with 413 %s', async (_, path) => {
    const chunk = `8000\r\n${'x'.repeat(0x8000)}\r\n`
    const { status } = await post(path, 'Transfer-Encoding: chunked\r\n', `${chunk}${chunk}${chunk}`)
    expect(status).toBe(413)
  })
})

describe('a target', () => {
  it('that no route matches gets 404 in problem+json', async () => {
    const { status, headers, json } = await gateway.get('/nowhere')
    expect(status).toBe(404)
    expect(headers['content-type']).toMatch(/^application\/problem\+json/)
    expect(headers['proxy-status']).toMatch(/^infergate; error=destination_not_found/)
    expect(json).toMatchObject({ status: 404, detail: 'no route matches GET /nowhere' })
  })

  it.each([
    ['dot segments', '/v1/models/../admin'],
    ['encoded dot segments', '/v1/%2e%2e/secret'],
    ['an encoded slash', '/v1/models/a%2fb:predict'],
    ['an encoded backslash', '/v1/models/a%5cb'],
    ['an encoded NUL', '/v1/models/a%00'],
    ['a backslash', '/v1\\models'],
    ['a broken escape', '/v1/%zz'],
    ['an escape that is no UTF-8', '/v1/models/a%ff'],
    ['absolute form of another scheme', 'ftp://other/v1/models/m'],
    ['no slash', '*'],
  ])('with %s is refused with 400', async (_, target) => {
    const before = backend.asked.length
    const { status, head } = await exchange(gateway.port, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)
    expect(status).toBe(400)
    expect(head).toMatch(/proxy-status: infergate; error=http_request_error/i)
    expect(backend.asked.length).toBe(before)
  })

  it.each(['/livez', '/readyz', '/metrics', '/api/v1/pools', '/'])(
    'of the admin API, %s, is not on the data port',
    async (path) => {
      expect((await gateway.get(path)).status).toBe(404)
    },
  )
})

describe('a backend', () => {
  it.each([
    ['/v1/models/dead:predict', 'V1', { error: expect.any(String) }],
    ['/v2/models/dead/infer', 'V2', { error: expect.any(String) }],
    ['/dead', 'no dialect', { status: expect.any(Number), detail: expect.any(String) }],
  ])('that is not there is told to the caller of %s in %s', async (path, _, wanted) => {
    await eventually(async () => {
      const { status, headers, json } = await gateway.post(path, instances(1))
      expect(status).toBe(502)
      expect(headers['proxy-status']).toMatch(/^infergate; error=connection_refused/)
      expect(json).toMatchObject(wanted)
    })
  })

  it('that nobody registered is told with 503 and when to come back', async () => {
    const { status, headers, json } = await gateway.post('/v1/models/empty:predict', instances(1))
    expect(status).toBe(503)
    expect(headers['retry-after']).toBe('1')
    expect(headers['proxy-status']).toMatch(/^infergate; error=destination_unavailable/)
    expect(json).toEqual({ error: expect.stringContaining('none has registered yet') })
  })

  it.each([
    ['V1', '/v1/models/unknown:predict'],
    ['V2', '/v2/models/unknown/infer'],
  ])('that serves other models is told with 404 in %s', async (_, path) => {
    const { status, json } = await gateway.post(path, instances(1), { 'x-pool': 'named' })
    expect(status).toBe(404)
    expect(json).toEqual({ error: expect.stringMatching(/"unknown".*serves known/) })
  })
})

describe('a head', () => {
  it('that is too long is refused with 431', async () => {
    const { status, head } = await exchange(
      gateway.port,
      `GET /v1/models/m HTTP/1.1\r\nHost: a\r\nX-Long: ${'x'.repeat(5000)}\r\n\r\n`,
    )
    expect(status).toBe(431)
    expect(head).toMatch(/proxy-status: infergate; error=/i)
  })

  it('that comes too slowly is refused with 408', async () => {
    const began = performance.now()
    const { status } = await exchange(gateway.port, 'POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\n')
    expect(status).toBe(408)
    expect(performance.now() - began).toBeLessThan(3_000)
  })

  const LENGTH = 'Content-Length: 17\r\n'
  const BODY = '{"instances":[1]}'
  const CHUNKED = 'Transfer-Encoding: chunked\r\n'
  it.each([
    [
      'both length and chunks',
      `${LENGTH}${CHUNKED}`,
      '0\r\n\r\nGET /v1/models/x HTTP/1.1\r\nHost: a\r\n\r\n',
    ],
    ['chunks and then a length', `${CHUNKED}${LENGTH}`, `11\r\n${BODY}\r\n0\r\n\r\n`],
    ['two different lengths', `${LENGTH}Content-Length: 18\r\n`, BODY],
    ['a length with a sign', 'Content-Length: +17\r\n', BODY],
    ['a list of lengths', 'Content-Length: 17, 17\r\n', BODY],
    ['an unknown coding', 'Transfer-Encoding: xchunked\r\n', `11\r\n${BODY}\r\n0\r\n\r\n`],
    ['chunks that are not last', 'Transfer-Encoding: chunked, identity\r\n', `11\r\n${BODY}\r\n0\r\n\r\n`],
    ['a space before the colon', 'Transfer-Encoding : chunked\r\n', `11\r\n${BODY}\r\n0\r\n\r\n`],
    ['a folded line', `X-Folded: a\r\n b\r\n${LENGTH}`, BODY],
    ['a folded coding', `Transfer-Encoding:\r\n chunked\r\n`, `11\r\n${BODY}\r\n0\r\n\r\n`],
    ['a bare LF', `X-A: b\n${LENGTH}`, BODY],
    ['a NUL in a value', `X-A: b\0c\r\n${LENGTH}`, BODY],
    ['two Hosts', `Host: b\r\n${LENGTH}`, BODY],
    ['a chunk of a negative size', CHUNKED, '-1\r\n\r\n'],
    ['a chunk size with a bare LF', CHUNKED, `11\n${BODY}\r\n0\r\n\r\n`],
  ])('with %s is refused, and nothing of it reaches a backend', async (_, fields, body) => {
    const before = backend.asked.length
    const { status } = await post(PREDICT, fields, body)
    expect(status).toBe(400)
    expect(backend.asked.length).toBe(before)
  })

  it('without a Host is refused with 400', async () => {
    const { status } = await exchange(gateway.port, 'GET /v1/models/m HTTP/1.1\r\n\r\n')
    expect(status).toBe(400)
  })

  it('that is no HTTP is refused with 400', async () => {
    const { status } = await exchange(gateway.port, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03')
    expect(status).toBe(400)
  })
})

describe('the machine', () => {
  it('has no room for the log: calls are answered, and the gateway ends with 0', async () => {
    const full = await startGateway({
      yaml: settings({ backends: [backend], pool: { health: { path: 'off' } } }),
      stdout: openSync('/dev/full', 'w'),
    })
    for (let i = 0; i < 20; i++) expect((await full.post(PREDICT, instances(i, 2, 3))).status).toBe(200)
    expect((await full.ask('/readyz')).status).toBe(200)
    expect(await full.stop()).toBe(0)
  })

  it.each([
    ['--listen', /is in use.*--listen/],
    ['--admin', /another process has it.*admin\.listen/],
  ])('has the port of %s in use: it ends with 1 and says what to do', async (flag, wanted) => {
    const taken = net.createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as net.AddressInfo
    const at = { '--listen': '127.0.0.1:0', '--admin': '127.0.0.1:0', [flag]: `127.0.0.1:${port}` }
    const file = written(settings({ backends: [backend] })) as string
    const { code, stderr } = await runInfergate(['serve', '--config', file, ...Object.entries(at).flat()])
    taken.close()
    expect(code).toBe(1)
    expect(stderr).toContain(String(port))
    expect(stderr).toMatch(wanted)
    expect(stderr).not.toContain('    at ')
  })

  it.each(['serve', 'check'])(
    'has a YAML with a typo: %s ends with 1, says where, and the nearest key',
    async (command) => {
      const file = written('pools:\n  main:\n    backnds: []\nroutes: []\n') as string
      const { code, stderr, stdout } = await runInfergate(
        command === 'serve' ? ['serve', '--config', file] : ['check', file],
      )
      expect(code).toBe(1)
      expect(stderr + stdout).toMatch(/infergate\.yaml:3:5: .*backnds.*backends/)
      expect(stderr).not.toContain('    at ')
    },
  )

  it('has no such file: it ends with 1 and names it', async () => {
    const { code, stderr } = await runInfergate(['serve', '--config', '/nowhere/infergate.yaml'])
    expect(code).toBe(1)
    expect(stderr).toContain('/nowhere/infergate.yaml')
    expect(stderr).not.toContain('    at ')
  })
})

it('a body under a head that came before is answered when it has come in pieces, and 408 when it does not come', async () => {
  const body = JSON.stringify(instances([4242]))
  const head = `POST ${PREDICT} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
  for (let i = 0; i < 3; i++) expect((await exchange(gateway.port, head + body)).status).toBe(200)
  const late = await exchange(gateway.port, head + body.slice(0, 5))
  expect(late.status).toBe(408)

  const socket = net.connect(gateway.port, '127.0.0.1')
  socket.write(head + body.slice(0, 5))
  await eventually(() => expect(socket.bytesWritten).toBe(head.length + 5))
  await new Promise((resolve) => setImmediate(resolve))
  socket.write(body.slice(5))
  const [answer] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  expect(answer.toString()).toMatch(/^HTTP\/1.1 200 [^]*Cache-Status: infergate; hit/)
})
