/** The Redis tier behind real Sentinels: which server it asks, before, during and after a failover. */
import { afterEach, describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../src/core/key.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createRedisStore, createRedisTier, type RedisOptions } from '../../src/data/cache/tiers/redis.ts'
import type { Tier } from '../../src/data/cache/tiers/tier.ts'
import { eventually } from '../support/eventually.ts'
import { faultProxy } from '../support/fault-proxy.ts'
import {
  addressOf,
  SETTLED,
  type SentinelGroup,
  type SentinelGroupOptions,
  startSentinelGroup,
} from '../support/redis-groups.ts'
import { redisSays, startRedis, type TestServer } from '../support/servers.ts'

const patient = { readTimeout: 2_000, writeTimeout: 2_000 }
const times = { readTimeout: 100, writeTimeout: 500, connectTimeout: 500 }
const PASSWORD = 's3cret'

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end()
})

const keyOf = (digest: Digest) => `ig1:{${Buffer.from(digest, 'latin1').toString('base64url')}}`

async function group(options?: SentinelGroupOptions): Promise<SentinelGroup> {
  const started = await startSentinelGroup(options)
  cleanup.push(() => started.stop())
  return started
}

function open(options: Omit<RedisOptions, 'name'>): Tier {
  const tier = createRedisTier({ name: 'redis', ...patient, ...options })
  cleanup.push(() => tier.close())
  return tier
}

describe('redis behind sentinels', { timeout: 60_000 }, () => {
  it('finds the primary, and after its death the next one: for values, hints and what gateways tell each other', async () => {
    const { primary, replica, sentinels, nodes } = await group()
    const url = 'redis://main'
    const tier = open({ url, sentinel: { nodes }, ...times })
    const store = createRedisStore({ name: 'store', url, sentinel: { nodes }, ...times })
    cleanup.push(() => store.close())
    let heard = 0
    tier.hints?.listen(() => heard++)
    const digest = digestOf('x')
    await eventually(() => tier.set(digest, Buffer.from('old'), 60_000))
    expect(await redisSays(primary.port, 'DBSIZE')).toMatch(/^:[1-9]/)
    expect(await tier.claim('epoch', 'before')).toBe('before')

    await primary.stop()
    await eventually(() => tier.set(digest, Buffer.from('new'), 60_000), SETTLED)
    expect(await redisSays(replica.port, `GET ${keyOf(digest)}`)).toMatch(/new/)
    expect(String((await tier.getMany([digest]))[0])).toBe('new')
    // The server has other facts, if any: it may not have heard of the last.
    expect(await tier.facts(['epoch'])).toEqual([undefined])
    expect(await eventually(() => store.run('return KEYS[1]', ['k'], []))).toBe('ig1:k')
    const before = heard
    await eventually(() => {
      tier.hints?.send()
      expect(heard).toBeGreaterThan(before)
    })

    // Whoever runs them sets them up anew, for another server: their count of failovers begins again.
    const other = await startRedis()
    cleanup.push(() => other.stop())
    for (const { port } of sentinels) {
      expect(await redisSays(port, 'SENTINEL REMOVE main')).toMatch(/OK/)
      expect(await redisSays(port, `SENTINEL MONITOR main 127.0.0.1 ${other.port} 2`)).toMatch(/OK/)
    }
    await eventually(async () => {
      await tier.set(digest, Buffer.from('other'), 60_000)
      expect(await redisSays(other.port, `GET ${keyOf(digest)}`)).toMatch(/other/)
    }, SETTLED)
  })

  it('never asks a primary that was replaced, although it answers and takes writes', async () => {
    // No Sentinel can make it a replica, as if it were out of their reach, and in that of the gateway.
    const { primary, replica, sentinels, nodes } = await group({
      // No other failover than the one that is asked for.
      lines: ['sentinel down-after-milliseconds main 10000'],
      primaryArgs: ['--rename-command', 'REPLICAOF', '', '--rename-command', 'SLAVEOF', ''],
    })
    const tier = open({ url: 'redis://main', sentinel: { nodes } })
    tier.hints?.listen(() => {})
    const digest = digestOf('x')
    await eventually(() => tier.set(digest, Buffer.from('old'), 60_000))
    await eventually(
      async () =>
        expect(await redisSays((sentinels[0] as TestServer).port, 'SENTINEL FAILOVER main')).toMatch(/OK/),
      SETTLED,
    )
    await eventually(async () => {
      // Until then it gets from the old primary what that is told.
      expect(await redisSays(replica.port, 'ROLE')).toMatch(/master/)
      await tier.set(digest, Buffer.from('new'), 60_000)
      expect(await redisSays(replica.port, `GET ${keyOf(digest)}`)).toMatch(/new/)
    }, SETTLED)
    expect(await redisSays(primary.port, 'ROLE')).toMatch(/master/)
    expect(await redisSays(primary.port, 'SET k v')).toMatch(/OK/)
    // None of the connections is left but those of the Sentinels, and this one.
    const others = async () =>
      (await redisSays(primary.port, 'CLIENT LIST'))
        .split('\n')
        .filter((line) => line.startsWith('id=') && !/name=sentinel-|cmd=client|list|flags=S/.test(line))
    await eventually(async () => expect(await others()).toEqual([]))
    await eventually(async () => expect(String((await tier.getMany([digest]))[0])).toBe('new'))
  })

  it('is told who it is by Sentinels that want a password of their own', async () => {
    const lines = [
      'requirepass sentinels',
      'sentinel sentinel-pass sentinels',
      'user gateway on >theirs resetchannels &+switch-master -@all +subscribe +sentinel|get-master-addr-by-name +sentinel|master',
    ]
    const { nodes } = await group({ lines, password: PASSWORD })
    const url = `redis://:${PASSWORD}@main/2`
    const tier = open({ url, sentinel: { nodes, username: 'gateway', password: 'theirs' } })
    const digest = digestOf('x')
    await eventually(() => tier.set(digest, Buffer.from('v'), 60_000))
    expect(tier.refusal).toBeUndefined()
    const refused = [
      [
        { nodes, username: 'gateway', password: 'hunter2' },
        url,
        /Sentinels: the user name or the password is wrong \(WRONGPASS\); correct username and password in "sentinel"/,
      ],
      [
        { nodes },
        url,
        /Sentinels: it wants a password \(NOAUTH\); write username and password into "sentinel"/,
      ],
      [{ nodes, password: 'sentinels' }, 'redis://:hunter2@main', /^the user name or the password is wrong/],
      [{ nodes, password: 'sentinels' }, 'redis://other', /they know no primary "other"/],
    ] as const
    await Promise.all(
      refused.map(async ([sentinel, at, reason]) => {
        const wrong = open({ url: at, sentinel })
        await eventually(() => expect(wrong.refusal ?? wrong.trouble).toMatch(reason))
        expect(wrong.refusal).toMatch(reason)
        expect([wrong.connected, `${wrong.refusal}`.includes('hunter2')]).toEqual([false, false])
      }),
    )
  })

  it('says so where what it was told of is no Sentinel, or nobody', async () => {
    const redis = await startRedis()
    cleanup.push(() => redis.stop())
    const tier = open({ url: 'redis://main', sentinel: { nodes: [addressOf(redis)] } })
    await eventually(() => expect(tier.refusal).toMatch(/no Sentinel \(they listen on port 26379\)/))
    const nobody = open({ url: 'redis://main', sentinel: { nodes: ['127.0.0.1:1'] } })
    await eventually(() => expect(nobody.trouble).toMatch(/no Sentinel says which server is the primary/))
    expect(nobody.refusal).toBeUndefined()
    expect(() => open({ url: 'redis://main:6379', sentinel: { nodes: [addressOf(redis)] } })).toThrow(
      /has no port/,
    )
    expect(() => open({ url: 'unix:///run/x.sock', sentinel: { nodes: [addressOf(redis)] } })).toThrow(
      /Unix socket/,
    )
    expect(() => open({ url: 'redis://main', cluster: true, sentinel: { nodes: [] } })).toThrow(/exclude/)
  })

  it('goes on without the Sentinels while the primary is there, and with one of three', async () => {
    const { sentinels, nodes } = await group()
    const tier = open({ url: 'redis://main', sentinel: { nodes } })
    const guard = guardTier(tier, patient)
    await eventually(async () => expect(await guard.set(digestOf('x'), Buffer.from('v'), 60_000)).toBe(true))
    for (const sentinel of sentinels.slice(1)) await sentinel.stop()
    const late = open({ url: 'redis://main', sentinel: { nodes } })
    await eventually(() => late.getMany([digestOf('x')]))
    await sentinels[0]?.stop()
    for (let n = 0; n < 20; n++) expect(String((await tier.getMany([digestOf('x')]))[0])).toBe('v')
  })

  it('notices a primary that went silent with its connections open', async () => {
    const { primary, replica, sentinels } = await group()
    const proxies = await Promise.all(sentinels.map(({ port }) => faultProxy(port)))
    cleanup.push(() => Promise.all(proxies.map((proxy) => proxy.close())))
    // One of the Sentinels is silent as well.
    proxies[0]?.set('hang')
    const tier = open({ url: 'redis://main', sentinel: { nodes: proxies.map(addressOf) }, ...times })
    const guard = guardTier(tier, times)
    const digest = digestOf('x')
    await eventually(
      async () => expect(await guard.set(digest, Buffer.from('v'), 60_000)).toBe(true),
      SETTLED,
    )
    primary.freeze()
    cleanup.push(() => primary.thaw())
    await eventually(async () => {
      const began = performance.now()
      await guard.getMany([digest])
      expect(performance.now() - began).toBeLessThan(times.readTimeout + 150)
      expect(await guard.set(digest, Buffer.from('after'), 60_000)).toBe(true)
      expect(await redisSays(replica.port, 'ROLE')).toMatch(/master/)
    }, SETTLED)
    expect(String((await tier.getMany([digest]))[0])).toBe('after')
  })
})
