/** Generations joined across the threads of a gateway with four data workers, one of which dies in the middle. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ChatCall, type ChatServer, startChatServer } from '../support/chat-server.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { INSPECTED, runInWorker } from '../support/inspector.ts'
import { type Reading, read } from '../support/reading.ts'

const WORKERS = 4
/** Four threads and all their callers share the machine with whatever else runs. */
const LONG = { timeoutMs: 20_000 }

let server: ChatServer
let gateway: RunningGateway
const calls: ChatCall[] = []

beforeAll(async () => {
  server = await startChatServer()
  server.onCall = (call) => {
    calls.push(call)
    call.say('one')
  }
  gateway = await startGateway({
    yaml: {
      server: { workers: WORKERS },
      pools: { main: { backends: [{ url: server.url }], health: { path: 'off' } } },
      routes: [{ match: { path: '/v1/*' }, protocol: 'openai', pool: 'main', cache: {} }],
    },
    env: INSPECTED,
  })
})
afterAll(async () => {
  await gateway?.stop()
  server?.close()
})

const PATH = '/v1/chat/completions'

const bodyOf = (prompt: string) => ({
  model: 'm',
  temperature: 0,
  stream: true,
  messages: [{ role: 'user', content: prompt }],
})

const ask = (prompt: string) => read(`${gateway.url}${PATH}`, bodyOf(prompt))

/** So many callers that all workers have some. */
const askOften = (prompt: string) => Promise.all(Array.from({ length: 16 }, () => ask(prompt)))

it('fifty callers of one stream cost the backend one call, and half of them leave as they like', async () => {
  const readings = [await ask('fifty')]
  const [call] = calls as [ChatCall]
  const leaving = new Set<Reading>()
  const pieces = Array.from({ length: 100 }, (_, i) => ` word${i}`)
  for (const [i, piece] of pieces.entries()) {
    call.say(piece)
    if (i % 2 === 0 && readings.length < 50) readings.push(await ask('fifty'))
    if (i % 4 !== 3) continue
    const staying = readings.filter((one) => !leaving.has(one))
    const one = staying[Math.floor(Math.random() * staying.length)] as Reading
    leaving.add(one)
    one.leave()
  }
  expect([readings.length, leaving.size]).toEqual([50, 25])
  call.finish()
  const stayed = readings.filter((one) => !leaving.has(one))
  for (const one of stayed) expect((await one.over()).isCut).toBe(false)
  expect(new Set(stayed.map((one) => one.content()))).toEqual(new Set([`one${pieces.join('')}`]))
  expect(calls.length).toBe(1)
  for (const one of await askOften('fifty')) expect(one.headers['cache-status']).toContain('hit')
  expect(await gateway.metric('infergate_gen_ai_time_to_first_token_seconds_count')).toBe(1)
})

it.each([
  ['model', async () => ({ model: 'm' })],
  [
    'key',
    async (prompt: string) => {
      const headers = { 'content-type': 'application/json' }
      const body = { method: 'POST', path: PATH, headers, body: JSON.stringify(bodyOf(prompt)) }
      const { json } = await gateway.ask('/api/v1/cache/explain', { method: 'POST', body })
      return { key: (json as { key: string }).key }
    },
  ],
])('a purge by %s lets those who read go on, and nobody gets the old behind it', async (by, purge) => {
  const prompt = `purged by ${by}`
  const began = calls.length
  const before = [await ask(prompt), ...(await askOften(prompt))]
  const { status } = await gateway.ask('/api/v1/cache/purge', { method: 'POST', body: await purge(prompt) })
  expect(status).toBe(200)
  const after = [await ask(prompt), ...(await askOften(prompt))]
  const [old, fresh, ...others] = calls.slice(began) as [ChatCall, ChatCall]
  expect(others).toEqual([])
  old.say(' old')
  fresh.say(' new')
  fresh.finish()
  for (const one of after) expect((await one.over()).content()).toBe('one new')
  old.finish()
  for (const one of before) expect((await one.over()).content()).toBe('one old')
  for (const one of await askOften(prompt)) expect((await one.over()).content()).toBe('one new')
  expect(calls.length).toBe(began + 2)
})

it('a worker that dies ends what it read for the others with an error, and nothing else', async () => {
  const began = calls.length
  // So many that each worker leads some of them.
  const prompts = Array.from({ length: 40 }, (_, i) => `of many ${i}`)
  const leaders = await Promise.all(prompts.map(ask))
  const others = await Promise.all([...prompts, ...prompts].map(ask))
  for (const one of [...leaders, ...others]) await eventually(() => expect(one.content()).toBe('one'), LONG)
  expect(calls.length).toBe(began + prompts.length)
  await runInWorker(
    gateway.stderr,
    'worker 1',
    'setImmediate(() => { throw new Error("crashed for the test") })',
  )
  await eventually(() => expect(gateway.logs.some(({ event }) => event === 'worker.exit')).toBe(true), LONG)
  for (const call of calls.slice(began)) {
    call.say(' two')
    call.finish()
  }
  await Promise.all([...leaders, ...others].map((one) => one.over()))
  expect(leaders.filter(({ isCut }) => isCut).length).toBeGreaterThan(0)
  for (const [i, one] of others.entries()) {
    // It came to the worker that has died.
    if (one.isCut) continue
    if (leaders[i % prompts.length]?.isCut) {
      expect(one.content()).toBe('one')
      expect(one.data().at(-1)).toMatchObject({ error: { code: 'internal', type: 'server_error' } })
    } else expect(one.content()).toBe('one two')
  }
  expect(calls.length).toBe(began + prompts.length)
})
