/** Pages of other origins: preflights without an identity and without a backend, and the fields on every kind of answer. */
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { call, type RawAnswer } from '../support/http.ts'
import { startRedis } from '../support/servers.ts'

const APP = 'https://app.example'
const KEY = 'page-key'
const PREDICT = '/v1/models/m:predict'

const cors = { origins: [APP, 'http://localhost:3000'], exposeHeaders: ['cache-status'], credentials: true }

function start(backend: { url: string }, tiers: object[], fastDoor = true): Promise<RunningGateway> {
  return startGateway({
    yaml: {
      server: { workers: 1, fastDoor },
      auth: {
        keys: [
          { name: 'page', tenant: 'web', hash: `sha256:${createHash('sha256').update(KEY).digest('hex')}` },
        ],
      },
      cache: { tiers: tiers as never },
      pools: { models: { backends: [{ url: backend.url }], health: { path: 'tcp', interval: '50ms' } } },
      routes: [
        { name: 'bare', match: { path: '/bare/*' }, pool: 'models', auth: 'off', protocol: 'opaque' },
        { name: 'post', match: { path: '/v1/*', method: 'POST' }, pool: 'models', cors, cache: {} },
        { name: 'rest', pool: 'models', protocol: 'opaque', auth: 'off', cors: { origins: ['*'] } },
      ],
    },
  })
}

const fieldsOf = ({ headers }: RawAnswer) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => /^access-control-|^vary$/.test(name)))

const ALLOWED = {
  vary: 'Origin',
  'access-control-allow-origin': APP,
  'access-control-allow-credentials': 'true',
  'access-control-expose-headers': 'cache-status',
}

/** Speaks of CORS itself, and wrongly. */
async function startTalker() {
  const backend = await startBackend((asked, response) => {
    response.setHeader('access-control-allow-origin', 'https://evil.example')
    response.setHeader('access-control-allow-headers', '*')
    response.setHeader(
      'content-type',
      asked.path.startsWith('/opaque/stream') ? 'text/event-stream' : 'application/json',
    )
    if (asked.path.startsWith('/opaque/stream')) {
      response.write('data: 1\n\n')
      setImmediate(() => response.end('data: 2\n\n'))
    } else response.end('{"predictions":[1]}')
  })
  return backend
}

const MEMORY = { name: 'memory', type: 'memory' }

test.each([true, false])('every answer says to whom it is open; fast door: %s', async (fastDoor) => {
  const backend = await startTalker()
  const gateway = await start(backend, [MEMORY], fastDoor)
  await gateway.ready('models')
  const ask = (origin: string | undefined, key = KEY) =>
    gateway.post(
      PREDICT,
      { instances: [1] },
      { authorization: `Bearer ${key}`, ...(origin === undefined ? {} : { origin }) },
    )
  // A miss, a hit that is read, one that is not, and its repetition.
  for (let n = 0; n < 4; n++) expect(fieldsOf(await ask(APP))).toEqual(ALLOWED)
  expect((await ask(APP)).headers['cache-status']).toMatch(/hit/)
  for (const origin of [undefined, 'null', 'https://app.example.evil.example', 'https://evil.example'])
    for (let n = 0; n < 3; n++) expect(fieldsOf(await ask(origin))).toEqual({ vary: 'Origin' })
  expect(fieldsOf(await ask('http://localhost:3000'))).toEqual({
    ...ALLOWED,
    'access-control-allow-origin': 'http://localhost:3000',
  })
  expect(fieldsOf(await ask(APP))).toEqual(ALLOWED)

  // Errors of our own, which a page could not read otherwise.
  const refused = await ask(APP, 'wrong')
  expect([refused.status, fieldsOf(refused)]).toEqual([401, ALLOWED])
  // A stream, on a route that is open to all.
  const stream = await gateway.post('/opaque/stream', 'x', { origin: 'https://any.example' })
  expect([stream.text, fieldsOf(stream)]).toEqual([
    'data: 1\n\ndata: 2\n\n',
    { 'access-control-allow-origin': '*' },
  ])
  // A route without the block says what its backend says.
  expect(fieldsOf(await gateway.post('/bare/x', 'x', { origin: APP }))).toMatchObject({
    'access-control-allow-origin': 'https://evil.example',
  })
  await Promise.all([gateway.stop(), backend.close()])
})

test('a hit in a shared tier says it, too', async () => {
  const [redis, backend] = await Promise.all([startRedis(), startTalker()])
  const gateway = await start(backend, [{ name: 'redis', type: 'redis', url: redis.url, readTimeout: '2s' }])
  await gateway.ready('models')
  await eventually(async () => {
    const answer = await gateway.post(
      PREDICT,
      { instances: [1] },
      { authorization: `Bearer ${KEY}`, origin: APP },
    )
    expect(fieldsOf(answer)).toEqual(ALLOWED)
    expect(answer.headers['cache-status']).toMatch(/hit.*redis/)
  })
  await Promise.all([gateway.stop(), redis.stop(), backend.close()])
})

test('a preflight needs no identity and no backend, and anything else is none', async () => {
  const backend = await startTalker()
  const gateway = await start(backend, [MEMORY])
  await gateway.ready('models')
  const before = backend.asked.length
  const preflight = (path: string, headers: Record<string, string>) =>
    call(gateway.port, path, { method: 'OPTIONS', headers })
  const asking = {
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization',
  }

  const allowed = await preflight(PREDICT, { origin: APP, ...asking })
  expect([allowed.status, allowed.text, fieldsOf(allowed)]).toEqual([
    204,
    '',
    {
      ...ALLOWED,
      'access-control-allow-methods': 'GET, HEAD, POST',
      'access-control-allow-headers': 'authorization, content-type',
      'access-control-max-age': '600',
    },
  ])
  for (const origin of ['null', 'https://app.example.evil.example', 'https://evil.example']) {
    const refused = await preflight(PREDICT, { origin, ...asking })
    expect([refused.status, fieldsOf(refused)]).toEqual([204, { vary: 'Origin' }])
  }
  // Of private networks nothing is said.
  const near = await preflight(PREDICT, {
    origin: APP,
    ...asking,
    'access-control-request-private-network': 'true',
  })
  expect(near.headers).not.toHaveProperty('access-control-allow-private-network')
  expect(backend.asked.length).toBe(before)

  // Without what makes it a preflight, and where the route has no such block, it is the backend's.
  for (const headers of [{ origin: APP }, asking, {}])
    expect((await preflight('/opaque/x', headers)).status).toBe(200)
  expect((await preflight('/bare/x', { origin: APP, ...asking })).status).toBe(200)
  expect(backend.asked.length).toBe(before + 4)
  await Promise.all([gateway.stop(), backend.close()])
})
