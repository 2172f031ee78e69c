/** The tiered cache over real servers that freeze, come late, break and lie. */
import { afterEach, describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../src/core/key.ts'
import type { Entry } from '../../src/data/cache/entry.ts'
import { createMemory } from '../../src/data/cache/memory/memory.ts'
import { createTiered, type Tiered } from '../../src/data/cache/tiered.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createMemcachedTier } from '../../src/data/cache/tiers/memcached.ts'
import { createRedisTier } from '../../src/data/cache/tiers/redis.ts'
import type { Tier } from '../../src/data/cache/tiers/tier.ts'
import { anEntry } from '../support/entries.ts'
import { eventually } from '../support/eventually.ts'
import { faultProxy } from '../support/fault-proxy.ts'
import { startMemcached, startRedis, type TestServer } from '../support/servers.ts'

const READ_TIMEOUT = 25
const brisk = { readTimeout: READ_TIMEOUT, writeTimeout: 250 }
/** Where the test is not about time: the machine may be busy. */
const patient = { readTimeout: 2_000, writeTimeout: 2_000 }

interface Kind {
  start(options?: { running?: boolean }): Promise<TestServer>
  tier(port: number, times?: typeof brisk): Tier
}

const kinds: Record<string, Kind> = {
  redis: {
    start: startRedis,
    tier: (port, times = brisk) =>
      createRedisTier({ name: 'redis', url: `redis://127.0.0.1:${port}`, ...times }),
  },
  memcached: {
    start: startMemcached,
    tier: (port, times = brisk) =>
      createMemcachedTier({ name: 'memcached', servers: [`127.0.0.1:${port}`], ...times }),
  },
}
const both = Object.entries(kinds)

const cleanup: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end()
})

async function start(kind: Kind, options?: { running?: boolean }): Promise<TestServer> {
  const server = await kind.start(options)
  cleanup.push(() => server.stop())
  return server
}

function open(tiers: readonly Tier[], times = brisk): Tiered {
  const guards = tiers.map((tier) => guardTier(tier, times))
  const cache = createTiered({ memory: createMemory({ maxBytes: 1024 * 1024 }), tiers: guards })
  cleanup.push(() => cache.close(0))
  return cache
}

const made = (name: string, changes: Partial<Entry> = {}) =>
  anEntry(name, { createdAt: Date.now(), ...changes })
const names = (count: number) => Array.from({ length: count }, (_, n) => `entry ${n}`)

/** Stores and waits until the shared tier gives it back. */
async function fill(cache: Tiered, entries: readonly Entry[]): Promise<void> {
  await eventually(async () => {
    for (const entry of entries) cache.store(entry)
    const found = await cache.lookup(entries.map(({ digest }) => digest))
    expect(found.every((each) => each)).toBe(true)
  })
}

/** Looks up, and fails on any answer that is not the key's own. */
async function check(cache: Tiered, wanted: readonly string[]): Promise<number> {
  const digests = wanted.map((name) => digestOf(name))
  const found = await cache.lookup(digests)
  found.forEach((each, n) => {
    if (each) expect(Buffer.from(each.entry.body).toString()).toBe(`{"predictions": ["${wanted[n]}"]}`)
  })
  return found.filter((each) => each).length
}

/** The longest the event loop was kept from a timer: on a busy machine part of every measured wait. */
function watchLag(): () => number {
  let last = performance.now()
  let worst = 0
  const timer = setInterval(() => {
    const now = performance.now()
    worst = Math.max(worst, now - last - 1)
    last = now
  }, 1)
  return () => {
    clearInterval(timer)
    return worst
  }
}

describe.each(both)('the tiered cache over %s', (name, kind) => {
  it('I18: a frozen server delays no look-up beyond its timeout and 10 ms, none once open, and comes back', async () => {
    const server = await start(kind)
    const cache = open([kind.tier(server.port)])
    const wanted = names(50)
    await fill(
      cache,
      wanted.map((each) => made(each)),
    )

    server.freeze()
    const lag = watchLag()
    let worst = 0
    await eventually(async () => {
      const began = performance.now()
      await Promise.all(wanted.map((each) => check(cache, [each])))
      worst = Math.max(worst, performance.now() - began)
      expect(cache.stats().tiers[0]?.state).toBe('open')
    })
    expect(worst).toBeLessThanOrEqual(READ_TIMEOUT + 10 + lag())

    const began = performance.now()
    let asked = 0
    while (cache.stats().tiers[0]?.state === 'open' && asked < 500) {
      expect(await check(cache, wanted)).toBe(0)
      asked++
    }
    expect((performance.now() - began) / asked).toBeLessThan(1)

    server.thaw()
    await eventually(async () => expect(await check(cache, wanted)).toBe(50), { timeoutMs: 15_000 })
  })

  it('starts without the server, loses no time by it, and finds it when it comes', async () => {
    const server = await start(kind, { running: false })
    const cache = open([kind.tier(server.port)])
    const entry = made('early')
    cache.store(entry)
    const began = performance.now()
    for (let n = 0; n < 200; n++) expect(await cache.lookup([entry.digest])).toEqual([undefined])
    expect((performance.now() - began) / 200).toBeLessThan(1)
    await server.start()
    await fill(cache, [entry])
    await server.restart()
    await fill(cache, [entry])
  })

  it('never gives a wrong answer while connections break and answers are garbled', async () => {
    const server = await start(kind)
    const proxy = await faultProxy(server.port)
    cleanup.push(() => proxy.close())
    const wanted = names(20)
    await fill(
      open([kind.tier(server.port)]),
      wanted.map((each) => made(each)),
    )

    // Without a breaker in front: it would hide the tier from most of the faults.
    const tier = kind.tier(proxy.port)
    const cache = open([
      {
        name,
        getMany: (digests: readonly Digest[]) =>
          tier.getMany(digests).catch(() => digests.map(() => undefined)),
        set: (digest, value, ttlMs) => tier.set(digest, value, ttlMs),
        delete: (digest) => tier.delete(digest),
        claim: (fact, value) => tier.claim(fact, value),
        facts: (facts) => tier.facts(facts),
        publish: (fact, value) => tier.publish(fact, value),
        close: () => tier.close(),
      },
    ])
    await eventually(async () => expect(await check(cache, wanted)).toBe(20))
    for (let round = 0; round < 4; round++) {
      for (const fault of ['garble', 'reset', 'pass', 'hang', 'delay'] as const) {
        proxy.set(fault, { delayMs: 40 })
        for (let n = 0; n < 4; n++) await check(cache, wanted)
      }
    }
    proxy.set('pass')
    await eventually(async () => expect(await check(cache, wanted)).toBe(20), { timeoutMs: 10_000 })
  })

  it('finds after a restart of the gateway what was written before it', async () => {
    const server = await start(kind)
    const first = open([kind.tier(server.port, patient)], patient)
    await fill(first, [made('warm')])
    const entries = names(200).map((each) => made(each))
    for (const entry of entries) first.store(entry)
    await first.close()
    const second = open([kind.tier(server.port, patient)], patient)
    await eventually(async () => expect(await check(second, names(200))).toBe(200))
    expect((await second.lookup([digestOf('entry 7')]))[0]?.tier).toBe(name)
    expect(second.peek(digestOf('entry 7'))?.createdAt).toBe(entries[7]?.createdAt)
  })
})

describe('two shared tiers', () => {
  it('I10: back-fill from the second to the first keeps the original expiry', async () => {
    const [redis, memcached] = [kinds['redis'] as Kind, kinds['memcached'] as Kind]
    const fast = await start(redis)
    const slow = await start(memcached)
    const entry = made('promoted', { createdAt: Date.now() - 40_000, ttlMs: 60_000 })
    await fill(open([memcached.tier(slow.port, patient)], patient), [entry])

    const cache = open([redis.tier(fast.port, patient), memcached.tier(slow.port, patient)], patient)
    await eventually(async () => expect((await cache.lookup([entry.digest]))[0]?.tier).toBe('memcached'))
    await eventually(async () => expect((await cache.lookup([entry.digest]))[0]?.tier).toBe('redis'))
    const [found] = await cache.lookup([entry.digest])
    expect(found?.entry).toMatchObject({ createdAt: entry.createdAt, ttlMs: 60_000 })
    expect(cache.peek(entry.digest)?.createdAt).toBe(entry.createdAt)
    expect(await remainingTtlMs(fast.port)).toBeLessThanOrEqual(60_000 - 40_000 + 5_000)
  })
})

/** What Redis says is left of its only key. */
async function remainingTtlMs(port: number): Promise<number> {
  const { Redis } = await import('ioredis')
  const client = new Redis(port, '127.0.0.1')
  const keys = await client.keys('ig1:*')
  const left = await client.pttl(keys[0] as string)
  client.disconnect()
  expect(keys.length).toBe(1)
  expect(left).toBeGreaterThan(0)
  return left
}
