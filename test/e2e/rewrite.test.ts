/** Routes that rewrite the path, the Host and header fields, over HTTP/1.1 and HTTP/2, in one gateway. */
import { connect } from 'node:http2'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { call } from '../support/http.ts'
import { MEMORY, settings } from '../support/settings.ts'

let backend: ScriptedBackend
let other: ScriptedBackend
let gateway: RunningGateway

beforeAll(async () => {
  backend = await startBackend((asked, response) => {
    response.setHeader('x-powered-by', 'a model server')
    response.setHeader('x-kept', 'yes')
    if (asked.path.startsWith('/v1')) return summing(asked, response, undefined as never)
    response.end(asked.path)
  })
  other = await startBackend((_, response) => void response.end('{}'))
  const base = settings({ tiers: [MEMORY] })
  const health = { path: 'off' } as const
  gateway = await startGateway({
    yaml: {
      ...base,
      pools: {
        main: { backends: [{ url: backend.url }], health },
        other: { backends: [{ url: other.url }], health },
        gone: { backends: [{ url: 'http://127.0.0.1:9' }], health },
      },
      routes: [
        {
          name: 'team',
          match: { path: '/team-a/*' },
          pool: 'main',
          mirror: { pool: 'other' },
          rewrite: { prefix: '/team-a', host: 'models.internal' },
          headers: {
            request: { set: { 'x-team': 'a' }, add: { 'x-tag': 'two' }, remove: ['x-secret', 'cookie'] },
            response: {
              set: { 'x-served-by': 'infergate' },
              add: { 'x-kept': 'both' },
              remove: ['x-powered-by'],
            },
          },
          cache: { rows: 'never' },
          warm: { keep: '1MiB' },
        },
        {
          name: 'files',
          match: { path: '/files/*' },
          protocol: 'opaque',
          pool: 'gone',
          fallback: ['main'],
          rewrite: { prefix: '/files', to: '/opaque/static' },
          cache: { ttl: '1h' },
        },
        { name: 'plain', pool: 'main' },
      ],
    },
  })
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all([backend, other].map((each) => each?.close()))
})

const PATH = '/team-a/v1/models/sum:predict'
const own = { 'x-team': 'forged', 'X-Secret': 's', 'x-tag': 'one', cookie: 'c=1', x_team: 'forged' }

it('the backend gets the path without its prefix, the Host and the fields of the route', async () => {
  const answer = await gateway.post(PATH, { instances: [1] }, own)
  expect([answer.status, answer.json]).toEqual([200, { predictions: [1] }])
  const asked = backend.asked.at(-1)
  expect(asked?.path).toBe('/v1/models/sum:predict')
  expect(asked?.headers).toMatchObject({ host: 'models.internal', 'x-team': 'a', 'x-tag': 'one, two' })
  expect(asked?.headers['x-secret']).toBeUndefined()
  expect(asked?.headers.cookie).toBeUndefined()
  expect(asked?.headers['x_team']).toBeUndefined()
  // A copy is what the backend got.
  await eventually(() => expect(other.asked.at(-1)?.path).toBe('/v1/models/sum:predict'))
  expect(other.asked.at(-1)?.headers).toMatchObject({ host: 'models.internal', 'x-team': 'a' })
})

it('a miss, a hit of any kind and an error have the fields of the route', async () => {
  const seen = new Set<string>()
  await eventually(async () => {
    const { headers } = await gateway.post(PATH, { instances: [2] })
    expect(headers).toMatchObject({ 'x-served-by': 'infergate', 'x-kept': expect.stringMatching(/both$/) })
    expect(headers['x-powered-by']).toBeUndefined()
    seen.add(String(headers['cache-status']).split(';')[1]?.trim() ?? '')
    expect([...seen]).toContain('hit')
  })
  // The next ones are given on the shortest way.
  for (let i = 0; i < 5; i++) {
    const { headers, json } = await gateway.post(PATH, { instances: [2] })
    expect(json).toEqual({ predictions: [2] })
    expect(headers).toMatchObject({ 'x-served-by': 'infergate', 'x-kept': expect.stringMatching(/both$/) })
    expect(headers['cache-status']).toMatch(/; hit; /)
  }
  const refused = await gateway.post(PATH, { instances: [77] }, { 'cache-control': 'only-if-cached' })
  expect([refused.status, refused.headers['x-served-by']]).toEqual([504, 'infergate'])
  const { headers } = await gateway.post('/v1/models/sum:predict', { instances: [2] })
  expect(headers['x-served-by']).toBeUndefined()
  expect(headers['x-powered-by']).toBe('a model server')
})

it('over HTTP/2 as well', async () => {
  const session = connect(gateway.url)
  const ask = () =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const request = session.request({
        ':method': 'POST',
        ':path': PATH,
        'content-type': 'application/json',
      })
      request.on('response', (headers) => {
        request.resume().on('end', () => resolve(headers))
      })
      request.on('error', reject)
      request.end('{"instances":[3]}')
    })
  try {
    for (let i = 0; i < 4; i++) {
      const headers = await ask()
      expect(headers).toMatchObject({
        ':status': 200,
        'x-served-by': 'infergate',
        'x-kept': expect.stringMatching(/both$/),
      })
      expect(headers['x-powered-by']).toBeUndefined()
    }
  } finally {
    session.close()
  }
})

it('a prefix is whole segments in any spelling, and a fallback keeps the rewritten path', async () => {
  const told = async (path: string) => (await call(gateway.port, path, { method: 'GET' })).text
  expect(await told('/files/a/b?c=d')).toBe('/opaque/static/a/b?c=d')
  expect(await told('/%66iles/%61')).toBe('/opaque/static/a')
  const { status } = await call(gateway.port, '/files/../x', { method: 'GET' })
  expect(status).toBe(400)
  const slashes = await call(gateway.port, '/team-a//v1/models/sum:predict', { method: 'POST', body: '{}' })
  // No route takes it but the last one, which passes it on as it is.
  expect(slashes.text).toBe('/team-a//v1/models/sum:predict')
})

it('what is kept of a rewritten URL is found again, and a write makes it wrong', async () => {
  const get = () => call(gateway.port, '/files/kept', { method: 'GET' })
  backend.script = ((script) => (asked, response, request) => {
    response.setHeader('cache-control', 'max-age=60')
    return script(asked, response, request)
  })(backend.script)
  await eventually(async () => expect((await get()).headers['cache-status']).toMatch(/; hit/))
  await call(gateway.port, '/files/kept', { method: 'PUT', body: 'new' })
  expect((await get()).headers['cache-status']).not.toMatch(/; hit/)
})

it('a call that is asked again for a warming goes by the path of its caller', async () => {
  const begun = await gateway.ask('/api/v1/warm', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: { route: 'team' },
  })
  expect(begun.status).toBe(202)
  const { id } = begun.json as { id: string }
  await eventually(async () => {
    const { json } = await gateway.ask(`/api/v1/warm/${id}`)
    const { state, progress } = json as { state: string; progress: Record<string, unknown> }
    expect([state, progress['skipped']]).toEqual(['done', {}])
    expect(progress['present']).toBeGreaterThan(0)
  })
})

it('explain says what is sent', async () => {
  const { json } = await gateway.ask('/api/v1/cache/explain', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: {
      method: 'POST',
      path: PATH,
      body: '{"instances":[1]}',
      headers: { 'content-type': 'application/json' },
    },
  })
  expect(json).toMatchObject({
    route: 'team',
    model: 'sum',
    sent: { path: '/v1/models/sum:predict', host: 'models.internal' },
    mirror: { pool: 'other', share: 1 },
  })
})
