/** Generations of two gateways on one Redis: kept for both in both forms, and what each asks for while the other is asking. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { type ChatCall, type ChatServer, piecesFor, startChatServer } from '../support/chat-server.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { read } from '../support/reading.ts'
import { redisSays, startRedis, type TestServer } from '../support/servers.ts'

const PATH = '/v1/chat/completions'

let server: ChatServer
let redis: TestServer
let one: RunningGateway
let other: RunningGateway

beforeAll(async () => {
  server = await startChatServer()
  redis = await startRedis()
  const yaml = {
    server: { workers: 1 },
    cache: { tiers: [{ name: 'redis', type: 'redis' as const, url: redis.url, readTimeout: '2s' }] },
    pools: { main: { backends: [{ url: server.url }], health: { path: 'off' as const } } },
    routes: [
      {
        match: { path: '/v1/*' },
        protocol: 'openai' as const,
        pool: 'main',
        cache: { leases: 'always' as const },
      },
    ],
  }
  ;[one, other] = await Promise.all([startGateway({ yaml }), startGateway({ yaml })])
})
afterEach(() => server.reset())
afterAll(async () => {
  await Promise.all([one?.stop(), other?.stop()])
  await redis?.stop()
  server?.close()
})

const asking = (prompt: string, stream: boolean) => ({
  model: 'm',
  temperature: 0,
  stream,
  messages: [{ role: 'user', content: prompt }],
})

const stream = (gateway: RunningGateway, prompt: string) =>
  read(`${gateway.url}${PATH}`, asking(prompt, true))

/** From now on the test answers the calls, in the order in which they come. */
function scripted(): (at: number) => Promise<ChatCall> {
  const calls: ChatCall[] = []
  server.onCall = (call) => void calls.push(call)
  return (at) => eventually(() => calls[at] ?? expect.fail(`call ${at} has not come`))
}

function answerAsJson({ response }: ChatCall): void {
  const choices = [{ index: 0, message: { role: 'assistant', content: 'all of it' }, finish_reason: 'stop' }]
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ id: 'c', object: 'chat.completion', created: 1, model: 'm', choices }))
}

it('a stream is kept in a shared tier, and found there as JSON and as events', async () => {
  const first = await one.post(PATH, asking('a', true))
  await eventually(async () => expect(await redisSays(redis.port, 'DBSIZE')).not.toBe('0'))
  await eventually(async () => {
    const kept = await other.post(PATH, asking('a', true))
    expect(kept.headers['cache-status']).toContain('detail=redis')
    expect(kept.text.replaceAll(/chatcmpl-\w+/g, '')).toBe(first.text.replaceAll(/chatcmpl-\w+/g, ''))
  })
  const json = await other.post(PATH, asking('a', false))
  expect(JSON.parse(json.text)).toMatchObject({
    choices: [{ message: { content: piecesFor('a').join('') } }],
  })
  expect(json.headers['cache-status']).toContain('hit')
})

it('a stream begins at once, whatever the other gateway is asking for', async () => {
  const call = scripted()
  const json = one.post(PATH, asking('b', false))
  await call(0)
  const second = stream(other, 'b')
  ;(await call(1)).say('one')
  const reading = await second
  await eventually(() => expect(reading.content()).toBe('one'))
  answerAsJson(await call(0))
  expect((await json).text).toContain('all of it')
  ;(await call(1)).finish()
  expect((await reading.over()).content()).toBe('one')
  expect(server.calls.length).toBe(2)
})

it('JSON waits for the gateway that is asking for the same', async () => {
  const call = scripted()
  const first = one.post(PATH, asking('c', false))
  await call(0)
  const before = await other.metric('infergate_cache_operations_total', { operation: 'acquire' })
  const second = other.post(PATH, asking('c', false))
  await eventually(async () =>
    expect(await other.metric('infergate_cache_operations_total', { operation: 'acquire' })).toBeGreaterThan(
      before,
    ),
  )
  answerAsJson(await call(0))
  expect((await first).text).toContain('all of it')
  expect((await second).text).toContain('all of it')
  expect(server.calls.length).toBe(1)
})

it('nobody waits for a Redis that has frozen: neither whoever reads a stream, nor whoever begins one', async () => {
  const call = scripted()
  const running = stream(one, 'd')
  ;(await call(0)).say('one')
  const reading = await running
  redis.freeze()
  try {
    ;(await call(0)).say(' two')
    await eventually(() => expect(reading.content()).toBe('one two'))
    const joined = await stream(one, 'd')
    ;(await call(0)).finish()
    for (const each of [reading, joined]) expect((await each.over()).content()).toBe('one two')
    const begun = stream(other, 'd')
    ;(await call(1)).say('new')
    ;(await call(1)).finish()
    expect((await (await begun).over()).content()).toBe('new')
    const json = other.post(PATH, asking('e', false))
    answerAsJson(await call(2))
    expect((await json).text).toContain('all of it')
  } finally {
    redis.thaw()
  }
})
