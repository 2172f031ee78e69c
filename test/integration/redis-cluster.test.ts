/** The Redis tier on clusters of real servers. */
import { once } from 'node:events'
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/core/key.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createRedisStore, createRedisTier } from '../../src/data/cache/tiers/redis.ts'
import { tierContract } from '../../src/testing/tier.ts'
import { eventually } from '../support/eventually.ts'
import { redisSays, startRedis, type RedisServer as TestServer } from '../support/servers.ts'

const patient = { readTimeout: 2_000, writeTimeout: 2_000 }
const digests = Array.from({ length: 60 }, (_, n) => digestOf(`${n}`))
const PASSWORD = 's3cret'

let one: TestServer
let three: readonly TestServer[]
const say = (node: TestServer, line: string) => redisSays(node.port, line, PASSWORD)

beforeAll(async () => {
  const args = ['--requirepass', PASSWORD, '--masterauth', PASSWORD, '--cluster-node-timeout', '1000']
  ;[one, ...three] = await Promise.all([
    startRedis({ cluster: true }),
    ...Array.from({ length: 3 }, () => startRedis({ cluster: 'empty', args })),
  ])
  const [first] = three as [TestServer]
  const ranges = ['0 5460', '5461 10922', '10923 16383']
  await Promise.all(three.map((node, i) => say(node, `CLUSTER ADDSLOTSRANGE ${ranges[i]}`)))
  // Equal epochs would have to be settled first.
  await Promise.all(three.map((node, i) => say(node, `CLUSTER SET-CONFIG-EPOCH ${i + 1}`)))
  for (const node of three.slice(1)) await say(first, `CLUSTER MEET 127.0.0.1 ${node.port} ${node.busPort}`)
  await eventually(
    async () => {
      for (const node of three)
        expect(await say(node, 'CLUSTER INFO')).toMatch(/cluster_state:ok[^]*cluster_size:3/)
    },
    { timeoutMs: 20_000 },
  )
}, 40_000)
afterAll(async () => {
  await Promise.all([one, ...three].map((each) => each?.stop()))
})

tierContract('a redis cluster', async () =>
  createRedisTier({ name: 'c', url: one.url, cluster: true, ...patient }),
)

describe('a redis cluster', () => {
  it('is asked with its password at every node, for values, leases, hints and what gateways tell each other', async () => {
    const url = `redis://:${PASSWORD}@127.0.0.1:${three[0]?.port}`
    const tier = createRedisTier({ name: 'c', url, cluster: true, ...patient })
    const store = createRedisStore({ name: 's', url, cluster: true })
    let heard = 0
    tier.hints?.listen(() => heard++)
    await eventually(() =>
      Promise.all(digests.map((digest, n) => tier.set(digest, Buffer.from(`${n}`), 60_000))),
    )
    expect((await tier.getMany(digests)).map((value) => Number(Buffer.from(value as Uint8Array)))).toEqual(
      digests.map((_, n) => n),
    )
    const wants = digests.map((_, n) => ({ digest: digestOf(`absent ${n}`) }))
    const granted = await tier.leases?.acquire(wants, 'token', 10_000)
    expect(granted?.every(({ kind }) => kind === 'granted')).toBe(true)
    expect(await tier.claim('fact', 'a')).toBe('a')
    await eventually(() => {
      tier.hints?.send()
      expect(heard).toBeGreaterThan(1)
    })
    const names = Array.from({ length: 9 }, (_, n) => `shared:{pool ${n}}:k`)
    const ask = () => Promise.all(names.map((key) => store.run('return KEYS[1]', [key], [])))
    expect(await eventually(ask)).toEqual(names.map((name) => `ig1:${name}`))
    expect(tier.refusal).toBeUndefined()
    for (const node of three) expect(await say(node, 'DBSIZE')).toMatch(/^:[1-9]/)
    store.close()
    await tier.close()
  })

  it('misses the keys of a node that is frozen or gone, finds all others, and all again when it is back', async () => {
    const [first, second] = three as [TestServer, TestServer]
    const url = `redis://:${PASSWORD}@127.0.0.1:${first.port}`
    const times = { readTimeout: 100, writeTimeout: 500, connectTimeout: 300 }
    const tier = createRedisTier({ name: 'c', url, cluster: true, ...times })
    // A cluster that serves what it has while a part of it is away.
    for (const node of three) await say(node, 'CONFIG SET cluster-require-full-coverage no')
    const fill = () => Promise.all(digests.map((digest) => tier.set(digest, Buffer.from('v'), 60_000)))
    const found = async () => (await tier.getMany(digests)).filter(Boolean).length
    await eventually(fill)
    await eventually(async () => expect(await found()).toBe(60))
    second.freeze()
    await eventually(async () => {
      const began = performance.now()
      const left = await found()
      expect([left > 20, left < 60, performance.now() - began < 90]).toEqual([true, true, true])
    })
    // One key of that node is a miss like any other, and holds nothing against the tier.
    const guard = guardTier(tier, times)
    for (const digest of digests) await guard.getMany([digest])
    expect(guard.state).toBe('closed')
    expect(new Set(digests.map((digest) => guard.takes(digest, 1)))).toEqual(new Set([true, false]))
    second.thaw()
    await eventually(async () => expect(await found()).toBe(60), { timeoutMs: 10_000 })
    await tier.close()
  })

  it('follows a slot that moves to another node', async () => {
    const [first, second] = three as [TestServer, TestServer]
    const url = `redis://:${PASSWORD}@127.0.0.1:${first.port}`
    const tier = createRedisTier({ name: 'c', url, cluster: true, ...patient })
    await eventually(() => tier.facts(['moving']))
    const slot = Number((await say(first, 'CLUSTER KEYSLOT ig1:fact:moving')).slice(1))
    const [from, to] = slot <= 5460 ? [first, second] : [three[slot <= 10_922 ? 1 : 2] as TestServer, first]
    await tier.publish('moving', 'before')
    const id = async (node: TestServer) => (await say(node, 'CLUSTER MYID')).split('\r\n')[1]
    const [fromId, toId] = [await id(from), await id(to)]
    await say(to, `CLUSTER SETSLOT ${slot} IMPORTING ${fromId}`)
    await say(from, `CLUSTER SETSLOT ${slot} MIGRATING ${toId}`)
    await say(from, `MIGRATE 127.0.0.1 ${to.port} ig1:fact:moving 0 5000 AUTH ${PASSWORD}`)
    // ASK, while it moves; MOVED, once it has.
    expect(await tier.facts(['moving'])).toEqual(['before'])
    for (const node of [to, from]) await say(node, `CLUSTER SETSLOT ${slot} NODE ${toId}`)
    expect(await tier.facts(['moving'])).toEqual(['before'])
    await tier.publish('moving', 'after')
    expect(await tier.facts(['moving'])).toEqual(['after'])
    await tier.close()
  })

  it('hears nothing but TLS from us where the URL says so', async () => {
    const first: number[] = []
    const spy = net.createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', (bytes) => first.push(bytes[0] as number))
    })
    spy.listen(0, '127.0.0.1')
    await once(spy, 'listening')
    const url = `rediss://user:${PASSWORD}@127.0.0.1:${(spy.address() as net.AddressInfo).port}`
    const parts = [true, false].map((cluster) => {
      const tier = createRedisTier({ name: 'c', url, cluster })
      tier.hints?.listen(() => {})
      return { tier, store: createRedisStore({ name: 's', url, cluster }) }
    })
    await eventually(() => expect(first.length).toBeGreaterThanOrEqual(6))
    // The first byte of a TLS handshake.
    expect(new Set(first)).toEqual(new Set([0x16]))
    for (const { tier, store } of parts) {
      await tier.close()
      store.close()
    }
    spy.close()
  })
})
