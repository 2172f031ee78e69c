/** Who shares an answer and who does not: credentials, herds, what the caller asks of the cache, and purges. */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway } from '../support/gateway.ts'
import { hasRead, hold } from '../support/held.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { instances, MEMORY, PREDICT, redisTier, settings, TWO } from '../support/settings.ts'

let backend: ScriptedBackend
let redis: TestServer
let gateway: RunningGateway

beforeAll(async () => {
  ;[backend, redis] = await Promise.all([startBackend(), startRedis()])
  const base = settings({ backends: [backend], tiers: [MEMORY, redisTier(redis, '200ms')], server: TWO })
  gateway = await startGateway({
    yaml: {
      ...base,
      routes: [
        {
          name: 'open',
          match: { path: '/v1/models/open*' },
          pool: 'main',
          cache: { rows: 'never', scope: 'shared' },
        },
        { name: 'main', pool: 'main', cache: { rows: 'never' } },
      ],
    },
  })
  await gateway.ready('main')
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all([backend?.close(), redis?.stop()])
})

const status = async (path: string, body: unknown, headers: Record<string, string> = {}) =>
  (await gateway.post(path, body, headers)).headers['cache-status'] as string

const MISS = /^infergate; fwd=miss; fwd-status=200; stored$/
const HIT = /^infergate; hit; /

describe('credentials', () => {
  it.each([
    ['Authorization', { authorization: 'Bearer a' }, { authorization: 'Bearer b' }],
    ['Cookie', { cookie: 'session=a' }, { cookie: 'session=b' }],
    ['api-key', { 'api-key': 'a' }, { 'api-key': 'b' }],
    ['x-api-key', { 'x-api-key': 'a' }, { 'x-api-key': 'b' }],
    ['one and none', { authorization: 'Bearer only' }, {}],
    ['the same words in another field', { 'api-key': 'same' }, { 'x-api-key': 'same' }],
  ])('of two callers keep their answers apart: %s', async (name, one, other) => {
    const body = instances(name.length, 1)
    expect(await status(PREDICT, body, one)).toMatch(MISS)
    expect(await status(PREDICT, body, other)).toMatch(MISS)
    expect(await status(PREDICT, body, one)).toMatch(HIT)
    expect(await status(PREDICT, body, other)).toMatch(HIT)
  })

  it('do not part callers on a route whose scope is shared', async () => {
    const path = '/v1/models/open:predict'
    expect(await status(path, instances(1), { authorization: 'Bearer a' })).toMatch(MISS)
    expect(await status(path, instances(1), { authorization: 'Bearer b' })).toMatch(HIT)
  })
})

describe('a route that shared its answers', () => {
  it('gives nobody what somebody was told, once each caller has answers of his own, here or at another gateway', async () => {
    const yaml = (scope: 'shared' | 'caller') =>
      settings({
        backends: [backend],
        tiers: [MEMORY, redisTier(redis, '500ms')],
        route: { cache: { scope, rows: 'never' } },
      })
    const [changing, other] = await Promise.all([
      startGateway({ yaml: yaml('shared') }),
      startGateway({ yaml: yaml('caller') }),
    ])
    await Promise.all([changing.ready('main'), other.ready('main')])
    const asked = async (at: RunningGateway, input: number, headers = {}) =>
      (await at.post(PREDICT, instances(input), headers)).headers['cache-status']
    for (const input of [77, 78]) {
      await asked(changing, input, { authorization: 'Bearer a' })
      await eventually(async () => expect(await asked(changing, input)).toMatch(HIT))
    }
    expect(await asked(other, 77)).toMatch(MISS)
    writeFileSync(changing.file, JSON.stringify(yaml('caller')))
    await eventually(() => expect(changing.logs.some(({ event }) => event === 'config.reloaded')).toBe(true))
    expect(await asked(changing, 78)).toMatch(MISS)
    await Promise.all([changing.stop(), other.stop()])
  })
})

describe('a herd', () => {
  it('of 100 equal requests reaches a slow backend once', async () => {
    const held = hold(backend)
    const before = backend.asked.length
    const herd = Array.from({ length: 100 }, () => gateway.post(PREDICT, instances(6, 7)))
    await held.asked(1)
    await hasRead(gateway)
    held.release()
    const answers = await Promise.all(herd)
    expect(answers.filter(({ status }) => status !== 200)).toEqual([])
    expect(new Set(answers.map(({ text }) => text))).toEqual(new Set(['{"predictions":[6,7]}']))
    expect(backend.asked.length - before).toBe(1)
    const collapsed = answers.filter(({ headers }) => /; collapsed/.test(headers['cache-status'] as string))
    expect(collapsed.length).toBe(99)
  })
})

describe('what a caller asks of the cache', () => {
  const ask = (body: unknown, directive: string) =>
    gateway.post(PREDICT, body, { 'cache-control': directive })

  it('no-cache brings a new answer, which replaces the old one', async () => {
    const body = instances(31)
    await gateway.post(PREDICT, body)
    backend.script = (_, response) =>
      void response.setHeader('content-type', 'application/json').end('{"predictions":[0]}')
    const { headers, text } = await ask(body, 'no-cache')
    backend.script = summing
    expect(headers['cache-status']).toBe('infergate; fwd=request; fwd-status=200; stored; detail=no-cache')
    expect(text).toBe('{"predictions":[0]}')
    const again = await gateway.post(PREDICT, body)
    expect(again.headers['cache-status']).toMatch(HIT)
    expect(again.text).toBe('{"predictions":[0]}')
  })

  it('no-store leaves nothing behind', async () => {
    const body = instances(32)
    const { headers } = await ask(body, 'no-store')
    expect(headers['cache-status']).toBe('infergate; fwd=bypass; fwd-status=200; detail=no-store')
    expect(await status(PREDICT, body)).toMatch(MISS)
  })

  it('no-store is answered from what is there', async () => {
    const body = instances(33)
    await gateway.post(PREDICT, body)
    expect((await ask(body, 'no-store')).headers['cache-status']).toMatch(HIT)
  })

  it('only-if-cached answers 504 in the dialect, and asks no backend', async () => {
    const before = backend.asked.length
    const { status, headers, json } = await ask(instances(34), 'only-if-cached')
    expect(status).toBe(504)
    expect(json).toEqual({ error: expect.stringContaining('only-if-cached') })
    expect(headers['proxy-status']).toMatch(/^infergate; error=/)
    expect(headers['content-type']).toMatch(/^application\/json/)
    expect(backend.asked.length).toBe(before)

    await gateway.post(PREDICT, instances(34))
    expect((await ask(instances(34), 'only-if-cached')).headers['cache-status']).toMatch(HIT)
  })
})

describe('a purge', () => {
  const purge = (body: object) => gateway.ask('/api/v1/cache/purge', { method: 'POST', body })

  it.each([
    ['of the model', { model: 'sum' }],
    ['of the route', { route: 'main' }],
    ['of everything', { all: true }],
  ])('%s through the API makes its answers unreachable', async (_, selection) => {
    const body = instances(41)
    await gateway.post(PREDICT, body)
    expect(await status(PREDICT, body)).toMatch(HIT)
    const { status: code, json } = await purge(selection)
    expect(code).toBe(200)
    expect(json).toMatchObject({ unreachable: [expect.any(String)], shared: true })
    expect(await status(PREDICT, body)).toMatch(MISS)
    expect(await status(PREDICT, body)).toMatch(HIT)
  })

  it('of another model leaves this one alone', async () => {
    const body = instances(42)
    await gateway.post(PREDICT, body)
    await purge({ model: 'other' })
    expect(await status(PREDICT, body)).toMatch(HIT)
  })

  it('of nothing in particular is refused', async () => {
    expect((await purge({})).status).toBe(400)
  })

  it('from the shell reaches the shared tier too, and outlasts a restart', async () => {
    const body = instances(43)
    await gateway.post(PREDICT, body)
    await eventually(async () =>
      expect(
        await gateway.metric('infergate_cache_operations_total', {
          tier: 'redis',
          operation: 'set',
          outcome: 'ok',
        }),
      ).toBeGreaterThan(0),
    )
    const { code, stdout, stderr } = await runInfergate(['purge', '--model', 'sum', '--admin', gateway.admin])
    expect(stderr).toBe('')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ unreachable: ['model:sum'] })

    await gateway.restart()
    await gateway.ready('main')
    expect(await status(PREDICT, body)).toMatch(MISS)
  })
})

describe('bytes', () => {
  const odd =
    '{"instances": [NaN, Infinity, -Infinity, 9007199254740993, -0, 1.10, 1e400],\n "x": 1, "x": 2, "é": "\\u00e9"}'
  const answer = '{"predictions": [NaN, -Infinity, 9223372036854775807, 1.0], "p": 1, "p": [2]}'

  it('of a call and of its answer arrive as they were sent: numbers, spaces, equal keys', async () => {
    backend.script = (_, response) => void response.setHeader('content-type', 'application/json').end(answer)
    const first = await gateway.post(PREDICT, odd)
    expect(backend.asked.at(-1)?.body.toString()).toBe(odd)
    expect(first.text).toBe(answer)
    const second = await gateway.post(PREDICT, odd)
    expect(second.text).toBe(answer)
    backend.script = summing
  })

  it('of integers that no double tells apart do not share an answer', async () => {
    const text = (n: string) => `{"instances": [${n}]}`
    expect(await status(PREDICT, text('9007199254740992'))).toMatch(MISS)
    expect(await status(PREDICT, text('9007199254740993'))).toMatch(MISS)
  })

  it('of the samples pass a V2 backend unchanged', async () => {
    const sent = readFileSync(new URL('../../models/samples/digit-7.v2.json', import.meta.url))
    const given =
      '{"model_name":"m","id":"","outputs":[{"name":"y","datatype":"INT64","shape":[1],"data":[9007199254740993]}]}'
    backend.script = (_, response) => void response.setHeader('content-type', 'application/json').end(given)
    const { text } = await gateway.post('/v2/models/m/infer', sent.toString())
    backend.script = summing
    expect(backend.asked.at(-1)?.body.equals(sent)).toBe(true)
    expect(text).toContain('9007199254740993')
  })
})
