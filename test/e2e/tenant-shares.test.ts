/**
 * Who is served when a pool is full, on a process as its users run it: one backend with one place, whose answers the test gives
 * one by one, so that the order in which it is asked is that of the queue.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { newKey } from '../../src/cli/keys.ts'
import { type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type FaultProxy, faultProxy } from '../support/fault-proxy.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { hasRead } from '../support/held.ts'
import type { RawAnswer } from '../support/http.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { instances } from '../support/settings.ts'

const tenants = ['heavy', 'light', 'urgent', 'spare', 'poor', 'gold'] as const
type Tenant = (typeof tenants)[number]
const keys = Object.fromEntries(
  tenants.map((tenant) => [tenant, newKey({ name: tenant, tenant })]),
) as Record<Tenant, { key: string; line: string }>

let redis: TestServer
let network: FaultProxy
let backends: ScriptedBackend[]
let gateway: RunningGateway
/** What was asked and is not answered, oldest first: the first number of each request, and how to answer it. */
let held: { row: number; rows: number; answer: () => void }[]
/** The first numbers of all requests since the test began, in their order. */
let order: number[]

const yaml = () => `
server: { workers: 1 }
cache:
  tiers: [{ name: redis, type: redis, url: "redis://127.0.0.1:${network.port}", readTimeout: 5s, connectTimeout: 5s }]
auth:
  keys:
${tenants.map((tenant) => `    ${keys[tenant].line}`).join('\n')}
tenants:
  heavy: { weight: 3 }
  light: {}
  urgent: { priority: critical }
  spare: { priority: sheddable }
  poor: { rate: { rows: 1/h } }
  gold: { backends: { tier: gold } }
pools:
  main:
    backends:
      - { url: "${backends[0]?.url}", concurrency: 1 }
    limits: { mode: declared }
    queue: { maxWait: 20s }
    health: { interval: 200ms }
  two:
    backends:
      - { url: "${backends[0]?.url}", concurrency: 1, labels: { tier: silver } }
      - { url: "${backends[1]?.url}", concurrency: 1, labels: { tier: gold } }
    limits: { mode: declared }
    queue: { maxWait: 20s }
    health: { interval: 200ms }
routes:
  - { name: two, match: { path: "/v1/models/two:*" }, pool: two, cache: { scope: shared, rows: never } }
  - { name: batched, match: { path: "/v1/models/batched:*" }, pool: main, cache: { scope: shared, rows: always }, batch: { maxRows: 64, maxDelay: 1s } }
  - { name: texts, match: { path: "/v1/completions" }, protocol: openai, pool: main }
  - { name: rows, match: { path: "/v1/models/rows:*" }, pool: main, cache: { scope: shared, rows: always } }
  - { name: main, pool: main, cache: { scope: shared, rows: never } }
`

beforeAll(async () => {
  redis = await startRedis()
  network = await faultProxy(redis.port)
  backends = [await startBackend(), await startBackend()]
  gateway = await startGateway({ yaml: yaml() })
  await gateway.ready('main')
  await gateway.ready('two', 2)
})
afterAll(async () => {
  await gateway?.stop()
  await network?.close()
  await Promise.all([redis?.stop(), ...(backends ?? []).map((backend) => backend.close())])
})
beforeEach(() => {
  held = []
  order = []
  for (const backend of backends)
    backend.script = (asked, response, request) => {
      const { instances: rows } = JSON.parse(asked.body.toString()) as { instances: number[] }
      order.push(rows[0] as number)
      held.push({
        row: rows[0] as number,
        rows: rows.length,
        answer: () => void summing(asked, response, request),
      })
    }
})
// Whatever a test has left waiting is answered, so that the next finds the pool empty.
afterEach(async () => {
  network.set('pass')
  await eventually(async () => {
    for (const { answer } of held.splice(0)) answer()
    expect(await running('main')).toEqual({ queued: 0, calls: 0 })
    expect(await running('two')).toEqual({ queued: 0, calls: 0 })
  })
})

async function running(pool: string): Promise<{ queued: number; calls: number }> {
  const { json } = await gateway.ask(`/api/v1/pools/${pool}`)
  const { traffic, backends: all } = json as {
    traffic: { queued: number }
    backends: { inflight: number }[]
  }
  return { queued: traffic.queued, calls: all.reduce((sum, { inflight }) => sum + inflight, 0) }
}

const queued = (count: number, pool = 'main') =>
  eventually(async () => expect((await running(pool)).queued).toBe(count))
const reloads = () => gateway.logs.filter(({ event }) => event === 'config.reloaded').length
const asked = (count: number) => eventually(() => expect(order.length).toBe(count))

/** Asks for rows that nobody has asked for. */
function ask(tenant: Tenant, rows: readonly number[], more: { model?: string; withinMs?: number } = {}) {
  const { model = 'main', withinMs } = more
  return gateway.post(`/v1/models/${model}:predict`, instances(...rows), {
    authorization: `Bearer ${keys[tenant].key}`,
    ...(withinMs === undefined ? {} : { 'x-request-deadline-ms': `${withinMs}` }),
  })
}

/** Takes the only place. */
async function fill(row: number, pool = 'main'): Promise<Promise<RawAnswer>> {
  const filling = ask('light', [row], { model: pool })
  await asked(order.length + 1)
  return filling
}

/** Uses up the rows of the poor tenant. */
async function spend(): Promise<void> {
  for (let row = 100 * Math.random(); ; row++) {
    const before = order.length
    const answer = ask('poor', [row])
    let status = 0
    void answer.then((answered) => (status = answered.status))
    await eventually(() => expect(status === 429 || order.length > before).toBe(true))
    if (status === 429) return
    held.pop()?.answer()
    expect((await answer).status).toBe(200)
  }
}

/** Answers so many requests, one by one. */
async function serve(count: number): Promise<void> {
  for (let served = 0; served < count; served++) {
    await eventually(() => expect(held.length).toBeGreaterThan(0))
    held.shift()?.answer()
  }
}

describe('where calls wait', () => {
  it('tenants are served by weight, whatever each has queued before', async () => {
    const served = () =>
      gateway.metric('infergate_pool_queue_endings_total', { pool: 'main', ending: 'served' })
    const before = await served()
    void fill(1000)
    await asked(1)
    for (let call = 0; call < 4; call++) {
      void ask('light', [1100 + call])
      await queued(call + 1)
    }
    for (let call = 0; call < 12; call++) {
      void ask('heavy', [1300 + call])
      await queued(call + 5)
    }
    expect(await gateway.metric('infergate_pool_queue_calls', { pool: 'main' })).toBe(16)
    await serve(16)
    await asked(17)
    expect(await served()).toBe(before + 16)
    const waits = await gateway.metric('infergate_pool_queue_wait_seconds_count', { pool: 'main' })
    expect(waits).toBeGreaterThanOrEqual(before + 16)
    for (let from = 1; from < 17; from += 4)
      expect(order.slice(from, from + 4).filter((row) => row >= 1300)).toHaveLength(3)
  })

  it('a row costs the same in a call of many and by itself', async () => {
    void fill(2000)
    await asked(1)
    const dozen = [2300, ...Array.from({ length: 11 }, (_, i) => 2400 + i)]
    void ask('heavy', dozen, { model: 'rows' })
    await queued(1)
    void ask('heavy', [2301], { model: 'rows' })
    await queued(2)
    for (let call = 0; call < 6; call++) void ask('light', [2100 + call], { model: 'rows' })
    await queued(8)
    await serve(8)
    await asked(9)
    // Twelve rows of weight 3 are worth four of weight 1.
    expect(order[1]).toBe(2300)
    expect(order.indexOf(2301) - 2).toBeGreaterThanOrEqual(4)
    expect(order.indexOf(2301) - 2).toBeLessThanOrEqual(5)
  })

  it('a text costs by the tokens that it may have', async () => {
    const text = (tenant: Tenant, row: number, max_tokens: number) =>
      gateway.post(
        '/v1/completions',
        { model: 'm', max_tokens, ...instances(row) },
        { authorization: `Bearer ${keys[tenant].key}` },
      )
    void fill(2500)
    await asked(1)
    void text('heavy', 2600, 3_072)
    await queued(1)
    void text('heavy', 2601, 1)
    await queued(2)
    for (let call = 0; call < 6; call++) void text('light', 2700 + call, 240)
    await queued(8)
    await serve(8)
    await asked(9)
    expect(order[1]).toBe(2600)
    expect(order.indexOf(2601) - 2).toBeGreaterThanOrEqual(4)
    expect(order.indexOf(2601) - 2).toBeLessThanOrEqual(5)
  })

  it('classes go one before the other', async () => {
    void fill(3000)
    await asked(1)
    for (const [at, tenant] of (['spare', 'light', 'urgent'] as const).entries()) {
      void ask(tenant, [3001 + at])
      await queued(at + 1)
    }
    await serve(3)
    await asked(4)
    expect(order.slice(1)).toEqual([3003, 3002, 3001])
  })

  it('a reload changes the weights of the tenants, and their classes', async () => {
    const text = readFileSync(gateway.file, 'utf8')
    const before = reloads()
    writeFileSync(gateway.file, text.replace('light: {}', 'light: { priority: critical }'))
    await eventually(() => expect(reloads()).toBe(before + 1))
    void fill(4000)
    await asked(1)
    void ask('heavy', [4001])
    await queued(1)
    void ask('light', [4002])
    await queued(2)
    await serve(2)
    await asked(3)
    expect(order.slice(1)).toEqual([4002, 4001])
    writeFileSync(gateway.file, text)
    await eventually(() => expect(reloads()).toBe(before + 2))
  })

  it('a tenant with labels waits for its backends, and holds up nobody at the others', async () => {
    void ask('gold', [5000], { model: 'two' })
    await asked(1)
    for (let call = 0; call < 20; call++) void ask('gold', [5001 + call], { model: 'two' })
    await queued(20, 'two')
    for (let call = 0; call < 5; call++) {
      const answer = ask('light', [5500 + call], { model: 'two' })
      await asked(call + 2)
      held.pop()?.answer()
      expect((await answer).status).toBe(200)
    }
    expect((await running('two')).queued).toBe(20)
    expect(backends[1]?.asked.some(({ body }) => /\[55\d\d\]/.test(body.toString()))).toBe(false)
  })
})

describe('a flight', () => {
  it('has the class of the most urgent who waits for it', async () => {
    void fill(6000)
    await asked(1)
    const leader = ask('spare', [6100])
    await queued(1)
    for (let call = 0; call < 3; call++) void ask('light', [6001 + call])
    await queued(4)
    const joiner = ask('urgent', [6100])
    await hasRead(gateway)
    await serve(2)
    await asked(3)
    expect(order[1]).toBe(6100)
    expect((await leader).status).toBe(200)
    expect((await joiner).json).toEqual({ predictions: [6100] })
  })

  it('waits as long as anybody does: its leader is late, who joined is not', async () => {
    void fill(7000)
    await asked(1)
    const leader = ask('spare', [7100], { withinMs: 700 })
    await queued(1)
    const joiner = ask('urgent', [7100], { withinMs: 20_000 })
    await hasRead(gateway)
    expect((await leader).status).toBe(504)
    expect((await running('main')).queued).toBe(1)
    await serve(2)
    expect((await joiner).json).toEqual({ predictions: [7100] })
  })

  it('goes on where its leader is refused for its tenant: who joined asks for itself', async () => {
    await spend()
    const before = order.length
    // Both wait for Redis, so the second joins the first before that is refused.
    const chunks = network.chunks
    network.set('delay', { delayMs: 1_000 })
    const leader = ask('poor', [8100])
    await eventually(() => expect(network.chunks).toBeGreaterThan(chunks))
    const joiner = ask('light', [8100])
    await hasRead(gateway)
    await asked(before + 1)
    network.set('pass')
    await serve(1)
    expect((await joiner).json).toEqual({ predictions: [8100] })
    const refused = await leader
    expect(refused.status).toBe(429)
    expect(refused.headers['ratelimit-policy']).toMatch(/"rows"/)
  })
})

describe('a batch', () => {
  it('is charged to each of its tenants, and one that may not send holds up nobody', async () => {
    await spend()
    const before = order.length
    void fill(9000)
    await asked(before + 1)
    const refused = ask('poor', [9100], { model: 'batched' })
    const others = [
      ask('heavy', [9200, 9201], { model: 'batched' }),
      ask('light', [9300], { model: 'batched' }),
    ]
    expect((await refused).status).toBe(429)
    await hasRead(gateway)
    await serve(1)
    await asked(before + 2)
    expect(held[0]?.rows).toBe(3)
    await serve(1)
    expect((await Promise.all(others)).map(({ status }) => status)).toEqual([200, 200])
  })
})
