/** Two gateways on one Redis: who registers at one of them serves the callers of both, and leaves both. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { instances, MEMORY, PREDICT, redisTier, settings } from '../support/settings.ts'

interface Shown {
  readonly id: string
  readonly state: string
  readonly generation: number
  readonly peers?: number
  readonly leaseRemainingMs?: number
}

let redis: TestServer
let backend: ScriptedBackend
let a: RunningGateway
let b: RunningGateway
let epoch = 1_000
let n = 0

const yaml = () => settings({ tiers: [MEMORY, redisTier(redis)], route: { cache: { enabled: false } } })
const start = () => startGateway({ yaml: yaml() })
const path = (id: string) => `/api/v1/pools/main/backends/${id}`

beforeAll(async () => {
  redis = await startRedis()
  backend = await startBackend()
  ;[a, b] = await Promise.all([start(), start()])
})
afterAll(async () => {
  await Promise.all([a.stop(), b.stop()])
  await backend.close()
  await redis.stop()
})
beforeEach(() => {
  backend.script = summing
})

async function register(gateway: RunningGateway, id: string, options: { epoch: number; ttlMs?: number }) {
  const { epoch: age, ttlMs = 60_000 } = options
  const body = { url: backend.url, epoch: age, lease: { ttlMs } }
  return gateway.ask(path(id), { method: 'PUT', body })
}

async function shown(gateway: RunningGateway, id: string): Promise<Shown | undefined> {
  const { json } = await gateway.ask('/api/v1/pools/main')
  return (json as { backends: Shown[] }).backends.find((one) => one.id === id)
}

const left = async (gateway: RunningGateway, id: string) => (await shown(gateway, id))?.leaseRemainingMs ?? 0

const generationOf = (answer: { json: unknown }) => (answer.json as { generation: number }).generation

describe('a backend that registers at one gateway', () => {
  it('gets calls from the other within a second, under the same generation', async () => {
    const granted = await register(a, 'one', { epoch: ++epoch })
    expect(granted.status).toBe(201)
    await eventually(async () => expect((await b.post(PREDICT, instances(++n))).status).toBe(200), {
      timeoutMs: 1_000,
    })
    expect((await shown(b, 'one'))?.generation).toBe(generationOf(granted))
  })

  it('may renew at either, and both know', async () => {
    const ttlMs = 3_000
    const granted = await register(a, 'two', { epoch: ++epoch, ttlMs })
    await eventually(async () => expect(await shown(b, 'two')).toBeDefined())
    // When the lease ends stays the same until it is renewed, whenever the others hear of that; what remains of it does not.
    const endsBefore = (await left(a, 'two')) + performance.now()
    await eventually(() => expect(performance.now() + ttlMs).toBeGreaterThan(endsBefore + 500))
    const renewal = { method: 'POST', body: { generation: generationOf(granted) } }
    expect((await b.ask(`${path('two')}/renew`, renewal)).status).toBe(200)
    for (const gateway of [a, b]) {
      await eventually(async () => {
        const askedAt = performance.now()
        expect(askedAt + (await left(gateway, 'two'))).toBeGreaterThan(endsBefore + 200)
      })
    }
  })

  it('drains at both, and is gone from both, whichever is told', async () => {
    await register(a, 'three', { epoch: ++epoch })
    await eventually(async () => expect((await shown(b, 'three'))?.state).toBe('ready'))
    await b.ask(path('three'), { method: 'PATCH', body: { state: 'draining' } })
    await eventually(async () => expect((await shown(a, 'three'))?.state).toBe('draining'))
    await a.ask(path('three'), { method: 'PATCH', body: { state: 'ready' } })
    await eventually(async () => expect((await shown(b, 'three'))?.state).toBe('ready'))
    await b.ask(`${path('three')}?drain=1s`, { method: 'DELETE' })
    await eventually(async () => expect(await shown(a, 'three')).toBeUndefined())
    // The process that was removed does not come back through the other door; its successor does.
    expect((await register(a, 'three', { epoch })).status).toBe(409)
    expect((await register(a, 'three', { epoch: ++epoch })).status).toBe(201)
  })

  it('is fenced at both once its successor has registered at one', async () => {
    const old = await register(a, 'four', { epoch: ++epoch })
    await eventually(async () => expect(await shown(b, 'four')).toBeDefined())
    const next = await register(b, 'four', { epoch: ++epoch })
    expect(generationOf(next)).not.toBe(generationOf(old))
    await eventually(async () => expect((await shown(a, 'four'))?.generation).toBe(generationOf(next)))
    const renewal = { method: 'POST', body: { generation: generationOf(old) } }
    expect((await a.ask(`${path('four')}/renew`, renewal)).status).toBe(409)
    expect((await register(a, 'four', { epoch: epoch - 1 })).status).toBe(409)
  })

  it('is found by a gateway that starts later', async () => {
    await register(a, 'five', { epoch: ++epoch })
    const c = await start()
    await eventually(async () => expect((await shown(c, 'five'))?.state).toBe('ready'))
    expect((await c.post(PREDICT, instances(++n))).status).toBe(200)
    await c.stop()
  })
})

describe('calls in flight', () => {
  it('are known to the other gateway, and forgotten with the gateway that dies', async () => {
    const c = await start()
    await register(a, 'busy', { epoch: ++epoch })
    await eventually(async () => expect((await shown(c, 'busy'))?.state).toBe('ready'))
    backend.script = () => {}
    const hanging = Array.from({ length: 12 }, () => c.post(PREDICT, instances(++n)).catch(() => undefined))
    const peers = async () => {
      const { json } = await a.ask('/api/v1/pools/main')
      return (json as { backends: Shown[] }).backends.reduce((sum, one) => sum + (one.peers ?? 0), 0)
    }
    await eventually(async () => expect(await peers()).toBe(12))
    c.signal('SIGKILL')
    await Promise.all(hanging)
    await eventually(async () => expect(await peers()).toBe(0), { timeoutMs: 6_000 })
  })
})

describe('without Redis', () => {
  it('both go on with what they know, no call waits, and no lease ends', async () => {
    await register(a, 'kept', { epoch: ++epoch, ttlMs: 3_000 })
    await eventually(async () => expect((await shown(b, 'kept'))?.state).toBe('ready'))
    redis.freeze()
    const until = performance.now() + 8_000
    // Longer than the lease and its grace together.
    await eventually(
      async () => {
        for (const gateway of [a, b]) expect((await gateway.post(PREDICT, instances(++n))).status).toBe(200)
        expect(performance.now()).toBeGreaterThan(until)
      },
      { timeoutMs: 12_000 },
    )
    expect(await shown(a, 'kept')).toBeDefined()
    expect(await shown(b, 'kept')).toBeDefined()
    redis.thaw()
    expect((await register(a, 'after', { epoch: ++epoch })).status).toBe(201)
    await eventually(async () => expect(await shown(b, 'after')).toBeDefined())
  })

  it('a Redis that has lost everything is told again', async () => {
    await register(a, 'lasting', { epoch: ++epoch })
    await redis.restart()
    const c = await start()
    await eventually(async () => expect((await shown(c, 'lasting'))?.state).toBe('ready'), {
      timeoutMs: 10_000,
    })
    await c.stop()
  })
})
