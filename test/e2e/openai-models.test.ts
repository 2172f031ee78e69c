/** `GET /v1/models` is what all backends behind the routes list together; a call is never refused for what a list lacks. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'

interface Lister {
  readonly url: string
  readonly server: Server
  readonly authorized: (string | undefined)[]
  lists: number
}

const model = (id: string, more = {}) => ({ id, object: 'model', created: 1, owned_by: 'x', ...more })

/** `ids`: what it lists; 'never': it never answers for its list; a number: the status of its refusal. */
async function startLister(ids: readonly string[] | 'never' | number): Promise<Lister> {
  const lister: Lister = { url: '', server: createServer(), authorized: [], lists: 0 }
  lister.server.on('request', (request, response) => {
    request.resume()
    if (request.url === '/v1/models') {
      // The gateway itself asks what is deployed.
      if (request.headers['user-agent'] !== 'infergate-probe') {
        lister.lists++
        lister.authorized.push(request.headers.authorization)
      }
      if (ids === 'never') return
      response.setHeader('content-type', 'application/json')
      if (typeof ids === 'number')
        return void response
          .writeHead(ids)
          .end('{"error":{"message":"no","type":"x","param":null,"code":null}}')
      // Servers add members of their own, which stay.
      return void response.end(
        JSON.stringify({
          object: 'list',
          data: ids.map((id) => model(id, { root: `/${id}`, max_model_len: 8 })),
        }),
      )
    }
    response.end(JSON.stringify({ from: lister.url, url: request.url }))
  })
  lister.server.listen(0, '127.0.0.1')
  await once(lister.server, 'listening')
  return Object.assign(lister, { url: `http://127.0.0.1:${(lister.server.address() as AddressInfo).port}` })
}

let listers: Record<'a' | 'b' | 'c' | 'never' | 'refusing', Lister>
let gateway: RunningGateway

beforeAll(async () => {
  listers = {
    a: await startLister(['llama-base', 'shared']),
    b: await startLister(['llama-base', 'llama-adapter']),
    c: await startLister(['embedder', 'shared', 'hidden']),
    never: await startLister('never'),
    refusing: await startLister(401),
  }
  const pool = (...backends: Lister[]) => ({
    backends: backends.map(({ url }) => ({ url })),
    health: { path: 'off' as const },
  })
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      pools: {
        chat: pool(listers.a, listers.b),
        embed: pool(listers.c, listers.never),
        other: pool(listers.refusing),
      },
      routes: [
        {
          name: 'chat',
          match: { path: '/v1/*', host: 'models.test', model: 'llama-*' },
          protocol: 'openai',
          pool: 'chat',
        },
        {
          name: 'embed',
          match: { path: '/v1/*', host: 'models.test', model: 'embedder' },
          protocol: 'openai',
          pool: 'embed',
        },
        {
          name: 'shared',
          match: { path: '/v1/*', host: 'models.test', model: 'shared' },
          protocol: 'openai',
          pool: 'chat',
        },
        {
          name: 'varied',
          match: { path: '/v1/*', host: 'varied.test' },
          protocol: 'openai',
          pool: 'chat',
          cache: { vary: ['x-team'] },
        },
        {
          name: 'other',
          match: { path: '/v1/*', host: 'refusing.test' },
          protocol: 'openai',
          pool: 'other',
        },
      ],
    },
  })
})
afterAll(async () => {
  await gateway?.stop()
  for (const { server } of Object.values(listers ?? {})) {
    server.closeAllConnections()
    server.close()
  }
})

const HOST = { host: 'models.test' }
/** Longer than what a backend did not say in time is remembered. */
const PATIENT = { timeoutMs: 15_000 }

const idsOf = (json: unknown) => (json as { data: { id: string }[] }).data.map(({ id }) => id)

it('is the union over the routes and their backends, a model once, and without what no route takes', async () => {
  // A backend that is slower than a second is left out.
  await eventually(async () => {
    const { status, json } = await gateway.get('/v1/models', HOST)
    expect(status).toBe(200)
    expect(json).toMatchObject({ object: 'list' })
    expect(idsOf(json)).toEqual(['llama-base', 'llama-adapter', 'embedder', 'shared'])
    const [first] = (json as { data: unknown[] }).data
    expect(first).toEqual(model('llama-base', { root: '/llama-base', max_model_len: 8 }))
  }, PATIENT)
})

it('asks each backend once for callers who come together', async () => {
  await gateway.get('/v1/models', HOST)
  const before = listers.a.lists
  await Promise.all(Array.from({ length: 20 }, () => gateway.get('/v1/models', HOST)))
  // What was known may just have become too old.
  expect(listers.a.lists - before).toBeLessThanOrEqual(1)
})

it('asks with the credentials of the caller, and keeps what it is told for that caller', async () => {
  await gateway.get('/v1/models', { ...HOST, authorization: 'Bearer one' })
  await gateway.get('/v1/models', { ...HOST, authorization: 'Bearer two' })
  await gateway.get('/v1/models', { ...HOST, authorization: 'Bearer one' })
  const shown = new Set(listers.a.authorized)
  expect(shown).toContain('Bearer one')
  expect(shown).toContain('Bearer two')
})

it('keeps what a caller is told from those whom the route tells apart by a field', async () => {
  const before = listers.a.lists
  for (const team of ['red', 'blue']) {
    const { status } = await gateway.get('/v1/models', { host: 'varied.test', 'x-team': team })
    expect(status).toBe(200)
  }
  expect(listers.a.lists - before).toBe(2)
})

it('tells of one model, from wherever it is listed', async () => {
  expect((await gateway.get('/v1/models/llama-adapter', HOST)).json).toMatchObject({
    id: 'llama-adapter',
    root: '/llama-adapter',
  })
  expect((await gateway.get('/v1/models/embedder', HOST)).json).toMatchObject({ id: 'embedder' })
  // Not listed, but a route takes it: its server says what it says.
  expect((await gateway.get('/v1/models/llama-unlisted', HOST)).json).toMatchObject({
    url: '/v1/models/llama-unlisted',
  })
  const unknown = await gateway.get('/v1/models/unknown', HOST)
  expect(unknown.status).toBe(404)
  expect(unknown.json).toMatchObject({ error: { code: 'model_not_found' } })
})

it('a call goes to the route that takes its model, listed or not', async () => {
  const answer = await gateway.post('/v1/chat/completions', { model: 'llama-unlisted', messages: [] }, HOST)
  expect(answer.status).toBe(200)
  expect([listers.a.url, listers.b.url]).toContain((answer.json as { from: string }).from)
})

it('is passed on where no backend has a list: the caller learns why', async () => {
  const { status, json } = await gateway.get('/v1/models', { host: 'refusing.test' })
  expect(status).toBe(401)
  expect(json).toMatchObject({ error: { message: 'no' } })
})
