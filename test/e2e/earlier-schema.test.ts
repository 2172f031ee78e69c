/**
 * What the build before has left in Redis, as bytes: two answers and the facts that make them valid there. This one finds
 * neither, and leaves them to gateways that still run. The long tests run both builds side by side.
 */
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type DeployingServer, startDeploying } from '../support/deploying.ts'
import { eventually } from '../support/eventually.ts'
import { startGateway } from '../support/gateway.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { redisTier, settings } from '../support/settings.ts'

// Recorded of commit bcf3897 with the settings below, whose answers were those of content 1.
const RECORDED = new URL('../golden/redis-of-bcf3897.json', import.meta.url)
const PATH = '/v1/models/m:predict'

let redis: TestServer
let server: DeployingServer
let client: Redis

beforeAll(async () => {
  ;[redis, server] = await Promise.all([startRedis(), startDeploying()])
  client = new Redis({ port: redis.port, host: '127.0.0.1' })
})
afterAll(async () => {
  client?.disconnect()
  await Promise.all([redis?.stop(), server?.close()])
})

it('entries and facts of an earlier schema are not found, and stay', async () => {
  const recorded = Object.entries(JSON.parse(readFileSync(RECORDED, 'utf8')) as Record<string, string>)
  expect(recorded.filter(([key]) => key.startsWith('ig1:{'))).toHaveLength(2)
  for (const [key, value] of recorded) await client.set(key, Buffer.from(value, 'base64'))

  // Replaced without being told, so that what was kept could be known by nothing else.
  server.content = 2
  const gateway = await startGateway({
    yaml: settings({
      backends: [server],
      tiers: [redisTier(redis, '500ms')],
      route: { cache: { rows: 'never', ttl: '3650d', jitter: 0 } },
    }),
  })
  await gateway.ready('main')
  for (const input of [1, 2]) {
    const { json, headers } = await gateway.post(PATH, { instances: [input] })
    expect(json).toEqual({ predictions: [`2/${input}`] })
    expect(headers['cache-status']).toMatch(/fwd=miss/)
  }
  // It uses this Redis.
  await eventually(async () => {
    const { json, headers } = await gateway.post(PATH, { instances: [2] })
    expect(json).toEqual({ predictions: ['2/2'] })
    expect(headers['cache-status']).toMatch(/hit/)
  })
  for (const [key, value] of recorded) expect((await client.getBuffer(key))?.toString('base64')).toBe(value)
  await gateway.stop()
})
