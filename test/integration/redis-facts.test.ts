/** Facts in a Redis that is started again from a snapshot, follows another, takes over, or does not say who it is. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, expect, it } from 'vitest'
import { encode } from '../../src/data/cache/entry.ts'
import { createMemory } from '../../src/data/cache/memory/memory.ts'
import { createTiered } from '../../src/data/cache/tiered.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createRedisTier } from '../../src/data/cache/tiers/redis.ts'
import type { Tier } from '../../src/data/cache/tiers/tier.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { anEntry } from '../support/entries.ts'
import { eventually } from '../support/eventually.ts'
import { startRedis, type TestServer } from '../support/servers.ts'

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end()
})

/** A server whose snapshots outlive it. */
async function server(): Promise<TestServer> {
  const dir = await mkdtemp(join(tmpdir(), 'redis-facts-'))
  cleanup.push(() => rm(dir, { recursive: true, force: true }))
  const started = await startRedis({ args: ['--dir', dir, '--repl-diskless-sync-delay', '0'] })
  cleanup.push(() => started.stop())
  return started
}

async function tierAt({ port }: TestServer, user = ''): Promise<Tier> {
  const tier = createRedisTier({
    name: 'redis',
    url: `redis://${user}127.0.0.1:${port}`,
    readTimeout: 1_000,
    writeTimeout: 1_000,
  })
  cleanup.push(() => tier.close())
  await eventually(() => tier.facts(['any']))
  return tier
}

/** A connection that says what no tier would. */
function operator({ port }: TestServer): Redis {
  const client = new Redis({ port, host: '127.0.0.1' })
  client.on('error', () => {})
  cleanup.push(() => client.disconnect())
  return client
}

it('a server started again from a snapshot has forgotten what it knew then', async () => {
  const redis = await server()
  const tier = await tierAt(redis)
  await tier.publish('epoch', 'old')
  await tier.set('k'.repeat(32) as never, Buffer.from('an answer'), 60_000)
  await operator(redis).save()
  await tier.publish('epoch', 'new')
  await redis.restart()
  await eventually(async () => expect(await tier.facts(['epoch'])).toEqual([undefined]), {
    timeoutMs: 10_000,
  })
  expect(await tier.claim('epoch', 'made anew')).toBe('made anew')
  // Answers are there again: it is the facts that keep them out of reach.
  expect((await tier.getMany(['k'.repeat(32) as never]))[0]).toBeDefined()
})

it('an answer that was removed by key is not found in what a server comes back with, until facts have been asked for', async () => {
  const redis = await server()
  const tier = await tierAt(redis)
  const entry = anEntry('removed', { createdAt: Date.now() })
  // Long ago, as the bar of a removal goes.
  let now = () => performance.now() - 60_000
  const clock = { ...systemClock, now: () => now() }
  const patient = { readTimeout: 1_000, writeTimeout: 1_000 }
  const memory = createMemory({ maxBytes: 1024 * 1024, clock })
  const cache = createTiered({ memory, tiers: [guardTier(tier, patient)], clock })
  await tier.set(entry.digest, encode(entry), 60_000)
  await operator(redis).save()
  expect(await cache.remove(entry.digest)).toBe(true)
  const connectedAt = tier.since as number
  await redis.restart()
  await eventually(async () => expect(await tier.getMany([entry.digest])).not.toEqual([undefined]), {
    timeoutMs: 10_000,
  })
  expect(tier.since).toBeGreaterThan(connectedAt)
  now = () => (tier.since as number) + 1_000
  expect(await cache.lookup([entry.digest])).toEqual([undefined])
  now = () => (tier.since as number) + 6_000
  expect(await cache.lookup([entry.digest])).toMatchObject([{ tier: 'redis' }])
})

it('a server that goes on keeps them, whoever connects', async () => {
  const redis = await server()
  await (await tierAt(redis)).publish('epoch', 'one')
  expect(await (await tierAt(redis)).facts(['epoch', 'other'])).toEqual(['one', undefined])
})

it('a replica is not asked, and one that takes over has no facts', async () => {
  const [first, second] = await Promise.all([server(), server()])
  const tier = await tierAt(first)
  await tier.publish('epoch', 'old')
  const follower = operator(second)
  await follower.replicaof('127.0.0.1', first.port)
  await eventually(async () => expect(await follower.get('missing')).toBeNull(), { timeoutMs: 10_000 })
  await eventually(async () => expect(await follower.exists('ig1:facts:2')).toBe(1), { timeoutMs: 10_000 })
  const replica = createRedisTier({
    name: 'redis',
    url: `redis://127.0.0.1:${second.port}`,
    readTimeout: 1_000,
  })
  cleanup.push(() => replica.close())
  await eventually(async () => {
    await expect(replica.facts(['epoch'])).rejects.toThrow(/READONLY/)
  })
  await follower.replicaof('NO', 'ONE')
  await eventually(async () => expect(await replica.facts(['epoch'])).toEqual([undefined]))
})

it('a master that was a replica for a while has none', async () => {
  const [first, second] = await Promise.all([server(), server()])
  const tier = await tierAt(first)
  await tier.publish('epoch', 'mine')
  await operator(second).set('ig1:facts:2', 'something else')
  const demoted = operator(first)
  await demoted.replicaof('127.0.0.1', second.port)
  await eventually(async () => expect(await demoted.type('ig1:facts:2')).toBe('string'), {
    timeoutMs: 10_000,
  })
  await demoted.replicaof('NO', 'ONE')
  await eventually(async () => expect(await tier.facts(['epoch'])).toEqual([undefined]))
})

it('a server that does not say who it is has facts all the same', async () => {
  const redis = await server()
  await operator(redis).call('ACL', 'SETUSER', 'app', 'on', '>secret', '~*', '&*', '+@all', '-info')
  const tier = await tierAt(redis, 'app:secret@')
  await tier.publish('epoch', 'one')
  expect(await tier.facts(['epoch'])).toEqual(['one'])
})
