/** Answers outlive the process in a shared tier, come back up into memory, and keep their age. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { startMemcached, startRedis, type TestServer } from '../support/servers.ts'
import { instances, MEMORY, memcachedTier, PREDICT, redisTier, settings } from '../support/settings.ts'

/** What is asked here is what is found, not how fast: a busy machine may take its time. */
const PATIENT = '500ms'

const servers: TestServer[] = []
let redis: TestServer
let memcached: TestServer
let backend: ScriptedBackend

beforeAll(async () => {
  ;[redis, memcached, backend] = await Promise.all([startRedis(), startMemcached(), startBackend()])
  servers.push(redis, memcached)
})
afterAll(async () => {
  await Promise.all([...servers.map((server) => server.stop()), backend?.close()])
})

/** Who answered: the tier of a hit, or `backend`. */
async function origin(gateway: RunningGateway, body: unknown): Promise<string> {
  const { headers, status, text } = await gateway.post(PREDICT, body)
  if (status !== 200) throw new Error(`${status} ${text}`)
  return /; hit;.*detail=(\S+)$/.exec(headers['cache-status'] as string)?.[1] ?? 'backend'
}

const written = (gateway: RunningGateway, tier: string, count: number) =>
  eventually(async () => {
    expect(
      await gateway.metric('infergate_cache_operations_total', { tier, operation: 'set', outcome: 'ok' }),
    ).toBeGreaterThanOrEqual(count)
  })

describe.each(['redis', 'memcached'] as const)('memory and %s', (tier) => {
  it('one miss fills both, and a restarted gateway is answered from the shared one', async () => {
    const shared = tier === 'redis' ? redisTier(redis, PATIENT) : memcachedTier(memcached, PATIENT)
    const gateway = await startGateway({
      yaml: settings({ backends: [backend], tiers: [MEMORY, shared] }),
    })
    await gateway.ready('main')
    const body = instances([1, 2, 3], tier === 'redis' ? 4 : 5)
    const before = backend.asked.length

    expect(await origin(gateway, body)).toBe('backend')
    expect(await origin(gateway, body)).toBe('memory')
    await written(gateway, tier, 1)

    await gateway.restart()
    expect(await origin(gateway, body)).toBe(tier)
    expect(await origin(gateway, body)).toBe('memory')
    expect(backend.asked.length - before).toBe(1)
    await gateway.stop()
  })
})

it('a lower tier fills all that stand above it, with the expiry it has', async () => {
  const yaml = settings({
    backends: [backend],
    tiers: [MEMORY, redisTier(redis, PATIENT), memcachedTier(memcached, PATIENT)],
    route: { cache: { rows: 'never', ttl: '1h', jitter: 0 } },
  })
  const gateway = await startGateway({ yaml })
  await gateway.ready('main')
  const body = instances(77)
  expect(await origin(gateway, body)).toBe('backend')
  await Promise.all([written(gateway, 'redis', 1), written(gateway, 'memcached', 1)])

  // Redis loses its entries, but not what says which of them are valid.
  await flushEntries(redis)
  await gateway.restart()
  await gateway.ready('main')
  expect(await origin(gateway, body)).toBe('memcached')
  await written(gateway, 'redis', 1)

  await gateway.restart()
  await gateway.ready('main')
  const { headers } = await gateway.post(PREDICT, body)
  expect(headers['cache-status']).toMatch(/detail=redis$/)
  const ttl = Number(/ttl=(\d+)/.exec(headers['cache-status'] as string)?.[1])
  expect(ttl).toBeLessThanOrEqual(3600)
  expect(ttl).toBeGreaterThan(3500)
  await gateway.stop()
})

it('Redis alone, without memory, answers every repeat', async () => {
  const gateway = await startGateway({
    yaml: settings({ backends: [backend], tiers: [redisTier(redis, PATIENT)] }),
  })
  await gateway.ready('main')
  const body = instances(4711)
  expect(await origin(gateway, body)).toBe('backend')
  await written(gateway, 'redis', 1)
  expect(await origin(gateway, body)).toBe('redis')
  expect(await origin(gateway, body)).toBe('redis')
  await gateway.stop()
})

it('Redis that is absent at the start is used once it comes', async () => {
  const late = await startRedis({ running: false })
  servers.push(late)
  const gateway = await startGateway({
    yaml: settings({ backends: [backend], tiers: [redisTier(late, PATIENT)] }),
  })
  await gateway.ready('main')
  const body = instances(815)
  expect(await origin(gateway, body)).toBe('backend')
  expect(await origin(gateway, body)).toBe('backend')
  expect((await gateway.ask('/readyz')).status).toBe(200)

  await late.start()
  await eventually(async () => expect(await origin(gateway, body)).toBe('redis'), { timeoutMs: 10_000 })
  await gateway.stop()
})

/** Deletes what is an entry; facts, which say what is valid, stay. */
async function flushEntries({ port }: TestServer): Promise<void> {
  const { Redis } = await import('ioredis')
  const client = new Redis({ port, host: '127.0.0.1' })
  const keys = await client.keys('*')
  await client.del(keys.filter((key) => key.startsWith('ig1:{')))
  client.disconnect()
}
