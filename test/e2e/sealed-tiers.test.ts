/** Gateways with a secret on one Redis: whoever can write there answers nobody, neither by an answer nor by a backend. */
import { expect, test } from 'vitest'
import { type Digest, parseDigest } from '../../src/core/key.ts'
import { encode } from '../../src/data/cache/entry.ts'
import { startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { runInfergate, startGateway } from '../support/gateway.ts'
import { redisSays, startRedis } from '../support/servers.ts'

const SECRET = 'hunter2-hunter2-hunter2-hunter2-'
const PREDICT = '/v1/models/m:predict'

const settingsOf = (redis: { url: string }, backend: { url: string }, sealing: object) => ({
  server: { workers: 2 },
  cache: {
    tiers: [{ name: 'redis', type: 'redis' as const, url: redis.url, readTimeout: '2s', ...sealing }],
  },
  pools: { models: { backends: [{ url: backend.url }], health: { interval: '50ms' } } },
  routes: [{ pool: 'models', cache: { rows: 'never' as const } }],
})

/** Somebody with the server's password writes another answer to every question: right envelopes, under the right keys. */
async function plant(port: number): Promise<void> {
  const keys = (await redisSays(port, 'KEYS ig1:{*}')).match(/ig1:\{[A-Za-z0-9_-]{43}\}/g) ?? []
  expect(keys.length).toBeGreaterThan(0)
  for (const key of keys) {
    const envelope = encode({
      digest: parseDigest(key.slice(5, -1)) as Digest,
      kind: 'reply',
      status: 200,
      headers: ['content-type', 'application/json'],
      body: Buffer.from('{"predictions":["planted"]}'),
      createdAt: Date.now(),
      ttlMs: 3_600_000,
      swrMs: 0,
      sieMs: 0,
      version: '',
      negative: false,
    })
    const hex = [...envelope].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
    expect(await redisSays(port, `SET ${key} "${hex}"`)).toMatch(/OK/)
  }
}

test('without a secret whoever can write there answers callers', async () => {
  const [redis, backend] = await Promise.all([startRedis(), startBackend()])
  const gateway = await startGateway({ yaml: settingsOf(redis, backend, {}) })
  await gateway.ready('models')
  const ask = () => gateway.post(PREDICT, { instances: [[1, 2]] })
  await eventually(async () => expect((await ask()).headers['cache-status']).toMatch(/hit.*redis/))
  await plant(redis.port)
  await eventually(async () => expect((await ask()).text).toBe('{"predictions":["planted"]}'))
  await Promise.all([gateway.stop(), redis.stop(), backend.close()])
})

test.each([false, true])('encrypt: %s', async (encrypt) => {
  const redis = await startRedis()
  const backend = await startBackend()
  const yaml = settingsOf(redis, backend, { secret: '${SECRET}', encrypt })
  const env = { SECRET }
  const [one, two] = await Promise.all([startGateway({ yaml, env }), startGateway({ yaml, env })])
  await Promise.all([one.ready('models'), two.ready('models')])
  const ask = (gateway: typeof one) => gateway.post(PREDICT, { instances: [[1, 2]] })
  await eventually(async () => {
    await ask(one)
    expect((await ask(two)).headers['cache-status']).toMatch(/hit.*redis/)
  })
  expect((await ask(two)).text).toBe('{"predictions":[3]}')

  await plant(redis.port)
  for (let n = 0; n < 4; n++) expect((await ask(two)).text).toBe('{"predictions":[3]}')
  const unverified = await two.metric('infergate_cache_unverified_total', { tier: 'redis' })
  expect(unverified).toBeGreaterThan(0)
  expect(two.logs.filter(({ event }) => event === 'tier.unverified').length).toBeGreaterThan(0)

  // A backend registers at one gateway, and the other hears of it; one that was written to Redis is heard of by nobody.
  const registered = await startBackend()
  const registration = { url: registered.url, lease: { ttlMs: 60_000 } }
  await one.ask('/api/v1/pools/models/backends/fine', { method: 'PUT', body: registration })
  await two.ready('models', 2)
  const told = await redisSays(redis.port, 'HGET ig1:shared:{models}:be fine')
  expect(told).toContain('signature')
  const record = `${/\{.*\}/.exec(told)?.[0]}`.replaceAll('"', '\\"')
  const evil = record.replace('\\"id\\":\\"fine\\"', '\\"id\\":\\"evil\\"').replace(/:\d+\\"/, ':1\\"')
  await redisSays(redis.port, `HSET ig1:shared:{models}:be evil "${evil}"`)
  await redisSays(redis.port, 'ZADD ig1:shared:{models}:lease 99999999999999 evil')
  await redisSays(redis.port, 'INCR ig1:shared:{models}:ver')
  await eventually(() => {
    for (const { logs } of [one, two]) expect(logs.map(({ event }) => event)).toContain('shared.unverified')
  })
  for (const gateway of [one, two]) {
    const { text } = await gateway.ask('/api/v1/pools/models')
    expect(text).toContain('fine')
    expect(text).not.toContain('evil')
  }

  const checked = await runInfergate(['check', one.file], env)
  expect(checked.stdout).toMatch(/secret: "\*\*\*"|secret: '\*\*\*'|secret: \*\*\*/)
  expect(checked.stdout + JSON.stringify([one.logs, two.logs])).not.toContain('hunter2')
  await Promise.all([one.stop(), two.stop(), redis.stop(), backend.close(), registered.close()])
})
