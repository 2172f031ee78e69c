/** The Redis tier on a cluster of primaries with replicas, one of which takes over. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { digestOf, printable } from '../../src/core/key.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createRedisStore, createRedisTier } from '../../src/data/cache/tiers/redis.ts'
import { eventually } from '../support/eventually.ts'
import {
  addressOf,
  type ClusterShard,
  killBehind,
  type RedisCluster,
  SETTLED,
  startCluster,
} from '../support/redis-groups.ts'
import { redisSays } from '../support/servers.ts'

const patient = { readTimeout: 2_000, writeTimeout: 2_000, connectTimeout: 1_000 }
const digests = Array.from({ length: 60 }, (_, n) => digestOf(`${n}`))
const [removed] = digests as [ReturnType<typeof digestOf>]

let cluster: RedisCluster
beforeAll(async () => {
  cluster = await startCluster()
}, 40_000)
afterAll(() => cluster?.stop())

it('a replica that takes over has nothing of its predecessor, whose last writes it may lack', {
  timeout: 60_000,
}, async () => {
  const shard = await cluster.shardOf(`{${printable(removed)}}`)
  const seed = cluster.shards.find((other) => other !== shard) as ClusterShard
  const url = `redis://${addressOf(seed.primary)}`
  const tier = createRedisTier({ name: 'c', url, cluster: true, ...patient })
  const store = createRedisStore({ name: 's', url, cluster: true })
  const guard = guardTier(tier, patient)
  const fill = () => Promise.all(digests.map((digest) => tier.set(digest, Buffer.from('v'), 60_000)))
  const found = async () => (await tier.getMany(digests)).filter(Boolean).length
  await eventually(fill)
  expect(await found()).toBe(60)
  expect(await tier.claim('fact', 'first')).toBe('first')

  const ofShard = await Promise.all(
    digests.map(async (digest) => (await cluster.shardOf(`{${printable(digest)}}`)) === shard),
  )
  const lost = ofShard.filter(Boolean).length
  await killBehind(shard, () => tier.delete(removed))
  await eventually(async () => {
    // The others' keys are found all the time; one at a time, none of the lost ones speaks against the tier.
    for (const digest of digests) await guard.getMany([digest])
    expect(guard.state).toBe('closed')
    expect(await found()).toBe(60 - lost)
    expect(await redisSays(shard.replica.port, 'ROLE')).toMatch(/master/)
    await tier.set(removed, Buffer.from('new'), 60_000)
  }, SETTLED)
  expect(await found()).toBe(60 - lost + 1)
  expect(String((await tier.getMany([removed]))[0])).toBe('new')
  expect(await redisSays(shard.replica.port, 'DBSIZE')).not.toBe(':1\r\n')
  await eventually(fill, SETTLED)
  expect(await found()).toBe(60)
  expect(await eventually(() => store.run('return 1', ['{k}'], []), SETTLED)).toBe(1)

  // The one that was killed comes back, as a replica with nothing, and nobody asks it.
  await shard.primary.start()
  expect(await found()).toBe(60)
  store.close()
  await tier.close()
})
