/** Warming over a gateway of two workers and a split of two stub pools: from the sample of a route, and with calls that are sent. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway } from '../support/gateway.ts'
import { MEMORY, PREDICT, settings, TWO } from '../support/settings.ts'

let backends: readonly ScriptedBackend[] = []
let gateway: RunningGateway

beforeAll(async () => {
  backends = await Promise.all([startBackend(), startBackend()])
  const base = settings({ tiers: [MEMORY], server: TWO })
  const pool = (i: number) => ({
    backends: [{ url: backends[i]?.url ?? '' }],
    health: { path: 'off' as const },
  })
  gateway = await startGateway({
    yaml: {
      ...base,
      pools: { v1: pool(0), v2: pool(1) },
      routes: [
        {
          name: 'ranker',
          split: [
            { pool: 'v1', weight: 1 },
            { pool: 'v2', weight: 0 },
          ],
          cache: { rows: 'never', tags: ['tagged'] },
          warm: { keep: '1MiB' },
        },
      ],
    },
  })
  await Promise.all(['v1', 'v2'].map((name) => gateway.ready(name)))
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all(backends.map((backend) => backend.close()))
})

interface View {
  readonly id: string
  readonly state: string
  readonly said: string
  readonly progress: Readonly<Record<string, number>> & { readonly skipped: Readonly<Record<string, number>> }
}

const write = (method: string, body?: unknown) => ({
  method,
  headers: { 'content-type': 'application/json' },
  ...(body === undefined ? {} : { body }),
})

async function warm(spec: Record<string, unknown>): Promise<View> {
  const { status, json } = await gateway.ask(
    '/api/v1/warm',
    write('POST', { route: 'ranker', rate: 5_000, ...spec }),
  )
  expect(status, JSON.stringify(json)).toBe(202)
  return json as View
}

async function over(id: string): Promise<View> {
  return eventually(async () => {
    const { json } = await gateway.ask(`/api/v1/warm/${id}`)
    expect((json as View).state).not.toBe('running')
    return json as View
  })
}

const warmed = async (spec: Record<string, unknown>) => over((await warm(spec)).id)
const inputs = (from: number) => Array.from({ length: 20 }, (_, i) => ({ instances: [[from + i, 1]] }))
const askAll = (bodies: readonly unknown[], headers?: Record<string, string>) =>
  Promise.all(
    bodies.map(async (body) => (await gateway.post(PREDICT, body, headers)).headers['cache-status']),
  )
const predictions = (backend: number) =>
  (backends[backend]?.asked ?? []).filter(({ path }) => path === PREDICT).length
const weigh = (v1: number, v2: number) =>
  gateway.ask('/api/v1/routes/ranker', write('PATCH', { weights: { v1, v2 } }))
const purge = (what: unknown) => gateway.ask('/api/v1/cache/purge', write('POST', what))

let next = 0
beforeEach(async () => {
  next += 1_000
  await weigh(1, 0)
  await purge({ all: true })
})

it('asks the calls of the sample in another pool, which then has the answers that callers get', async () => {
  const bodies = inputs(next)
  await askAll(bodies)
  await askAll(bodies)
  const kept = (what: string) => gateway.metric(`infergate_warm_sample_${what}`, { route: 'ranker' })
  expect(await kept('calls')).toBeGreaterThanOrEqual(20)
  expect(await kept('bytes')).toBeGreaterThan(20 * 500)
  const before = predictions(1)
  const { said, progress } = await warmed({ pool: 'v2' })
  expect(progress, said).toMatchObject({ stored: 20, asked: 20, present: 0, failed: 0 })
  expect(predictions(1) - before).toBe(20)
  expect((await warmed({ pool: 'v2' })).progress).toMatchObject({ stored: 0, asked: 0, present: 20 })
  await weigh(0, 1)
  for (const status of await askAll(bodies)) expect(status).toMatch(/; hit; /)
  expect(predictions(1) - before).toBe(20)
})

it('keeps no call with no-store, none with credentials, and none that was purged', async () => {
  const [first, ...bodies] = inputs(next)
  await askAll([first], { 'cache-control': 'no-store' })
  await askAll([first], { authorization: 'Bearer secret' })
  expect((await warmed({ pool: 'v2' })).progress).toMatchObject({ done: 0 })
  for (const what of [{ all: true }, { route: 'ranker' }, { model: 'sum' }, { tags: ['tagged'] }]) {
    await askAll(bodies)
    await purge(what)
    expect((await warmed({ pool: 'v2' })).progress, JSON.stringify(what)).toMatchObject({ done: 0 })
  }
  await askAll(bodies)
  const { json } = await gateway.ask(
    '/api/v1/cache/explain',
    write('POST', {
      method: 'POST',
      path: PREDICT,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(bodies[0]),
    }),
  )
  await purge({ key: (json as { key: string }).key })
  expect((await warmed({ pool: 'v2' })).progress).toMatchObject({ done: bodies.length - 1 })
})

const sent = (body: unknown, more: Record<string, unknown> = {}) => ({
  method: 'POST',
  path: PREDICT,
  headers: [{ name: 'content-type', value: 'application/json' }],
  body: Buffer.from(JSON.stringify(body)).toString('base64'),
  ...more,
})
const feed = (id: string, requests: readonly unknown[]) =>
  gateway.ask(`/api/v1/warm/${id}/requests`, write('POST', { requests, end: true }))

it('asks calls that are sent, and says which it does not ask', async () => {
  const bodies = inputs(next)
  const { id } = await warm({ source: 'requests', pool: 'v2' })
  const before = predictions(1)
  const fed = await feed(id, [
    ...bodies.map((body) => sent(body)),
    sent(bodies[0], { principal: 'digest-of-a-token' }),
    sent(bodies[0], { path: '/v1/models/sum' }),
    sent(bodies[0], { path: `${PREDICT}?api_key=secret` }),
  ])
  expect(fed.json).toMatchObject({ accepted: 23 })
  const { progress, state } = await over(id)
  expect(state).toBe('done')
  expect(progress).toMatchObject({ stored: 20, skipped: { credentials: 2, uncacheable: 1 } })
  expect(predictions(1) - before).toBe(20)
  await weigh(0, 1)
  for (const status of await askAll(bodies)) expect(status).toMatch(/; hit; /)
})

it('sends to the backend no field that is in no key', async () => {
  const { id } = await warm({ source: 'requests', pool: 'v2' })
  const odd = [
    { name: 'x-debug', value: 'yes' },
    { name: 'authorization', value: 'Bearer secret' },
  ]
  const [body] = inputs(next)
  await feed(id, [sent(body, { headers: [{ name: 'content-type', value: 'application/json' }, ...odd] })])
  expect((await over(id)).progress).toMatchObject({ stored: 1 })
  const { headers } = backends[1]?.asked.at(-1) ?? {}
  expect(headers).not.toHaveProperty('x-debug')
  expect(headers).not.toHaveProperty('authorization')
})

it('refuses what it cannot warm, with a reason', async () => {
  const refused = async (body: unknown) => {
    const { status, json } = await gateway.ask('/api/v1/warm', write('POST', body))
    return [status, (json as { detail: string }).detail]
  }
  expect(await refused({ route: 'nobody' })).toEqual([404, 'the settings have no route "nobody"'])
  expect(await refused({ route: 'ranker', pool: 'v3' })).toEqual([
    400,
    'the route "ranker" has no pool "v3"; it has v1, v2',
  ])
  const { id } = await warm({ source: 'requests' })
  const again = await refused({ route: 'ranker', source: 'requests' })
  expect(again).toEqual([400, `the route "ranker" is being warmed already (${id}): stop that first`])
  await gateway.ask(`/api/v1/warm/${id}`, { method: 'DELETE' })
  expect((await over(id)).state).toBe('stopped')
  expect((await feed(id, [])).status).toBe(400)
})

it('is done from the shell: the sample, and a log that goes on where it was stopped', async () => {
  const bodies = inputs(next)
  await askAll(bodies)
  const run = (...more: string[]) =>
    runInfergate(['warm', 'ranker', '--admin', gateway.admin, '--rate', '5k/s', ...more])
  const sampled = await run('--pool', 'v2')
  expect(sampled).toMatchObject({ code: 0 })
  expect(sampled.stdout).toBe(
    'looked at 20 calls in the pool v2, asked for 20: 20 stored, 0 were there already\n',
  )
  const folder = mkdtempSync(join(tmpdir(), 'infergate-warm-'))
  const line = (body: unknown, route = 'ranker') =>
    JSON.stringify({
      time: '2026-12-01T00:00:00Z',
      route,
      method: 'POST',
      path: PREDICT,
      query: '',
      principal: '',
      request: {
        headers: [{ name: 'content-type', value: 'application/json' }],
        encoding: 'utf8',
        body: JSON.stringify(body),
      },
    })
  const others = inputs(next + 500)
  const often = others.at(-1)
  const lines = [...others, often, ...bodies].map((body) => line(body))
  writeFileSync(join(folder, 'a.jsonl'), `${lines.join('\n')}\nno line\n${line(bodies[0], 'other')}\n`)
  const state = join(folder, 'state')
  const before = predictions(1)
  const logged = await run(folder, '--pool', 'v2', '--state', state)
  expect(logged.stdout).toBe(
    'looked at 40 calls in the pool v2, asked for 20: 20 stored, 20 were there already\n',
  )
  // What is asked most comes first.
  const [first] = (backends[1]?.asked ?? []).filter(({ path }) => path === PREDICT).slice(before)
  expect(JSON.parse(`${first?.body}`)).toEqual(often)
  const again = await run(folder, '--pool', 'v2', '--state', state)
  expect(again.stdout).toBe('looked at 0 calls in the pool v2, asked for 0: 0 stored, 0 were there already\n')
  const wrong = await run('--rate', 'fast')
  expect(wrong.code).toBe(1)
  expect(wrong.stderr).toContain('expected a rate above zero')
})
