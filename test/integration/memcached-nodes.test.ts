/** Memcached of several servers, of which one dies, freezes, or comes back with what it had. */
import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../src/core/key.ts'
import { type Log, silentLog } from '../../src/core/log.ts'
import { createTiered } from '../../src/data/cache/tiered.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createMemcachedTier } from '../../src/data/cache/tiers/memcached.ts'
import { createRendezvous } from '../../src/data/cache/tiers/rendezvous.ts'
import type { Tier } from '../../src/data/cache/tiers/tier.ts'
import { PurgedKeys } from '../../src/data/key/purged-keys.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { anEntry } from '../support/entries.ts'
import { eventually } from '../support/eventually.ts'
import { type FaultProxy, faultProxy } from '../support/fault-proxy.ts'
import { startMemcached, type TestServer } from '../support/servers.ts'

const patient = { readTimeout: 2_000, writeTimeout: 2_000 }
const digests = Array.from({ length: 90 }, (_, n) => digestOf(`${n}`))
const facts = Array.from({ length: 20 }, (_, n) => `model:m${n}`)

let servers: readonly TestServer[]
let proxies: readonly FaultProxy[]
beforeAll(async () => {
  servers = await Promise.all(Array.from({ length: 3 }, () => startMemcached()))
  proxies = await Promise.all(servers.map(({ port }) => faultProxy(port)))
})
afterAll(async () => {
  await Promise.all(proxies.map((proxy) => proxy.close()))
  await Promise.all(servers.map((server) => server.stop()))
})

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end()
})

const at = (parts: readonly { port: number }[]) => parts.map(({ port }) => `127.0.0.1:${port}`)

/** Connected to all servers. */
async function open(
  parts: readonly { port: number }[],
  times: Partial<typeof patient> = patient,
): Promise<Tier> {
  const tier = createMemcachedTier({ name: 'memcached', servers: at(parts), ...times })
  cleanup.push(() => tier.close())
  await eventually(() => expect([tier.connected, tier.trouble]).toEqual([true, '']), { timeoutMs: 10_000 })
  return tier
}

const fill = (tier: Tier) =>
  eventually(() => Promise.all(digests.map((digest) => tier.set(digest, Buffer.from('v'), 60_000))))
const found = async (tier: Tier) => (await tier.getMany(digests)).filter(Boolean).length

it('a server that dies takes its own keys with it, and no fact', async () => {
  const tier = await open(servers)
  await fill(tier)
  for (const fact of facts) expect(await tier.claim(fact, `of ${fact}`)).toBe(`of ${fact}`)
  await tier.publish('all', 'second')
  await servers[1]?.stop()
  await eventually(async () => {
    const left = await found(tier)
    expect([left > 40, left < 80]).toEqual([true, true])
  })
  const known = facts.map((fact) => `of ${fact}`)
  expect(await tier.facts(facts)).toEqual(known)
  expect(await tier.facts(['all'])).toEqual(['second'])
  // A purge while it is away.
  await tier.publish('all', 'third')
  await servers[1]?.start()
  await eventually(() => fill(tier), { timeoutMs: 10_000 })
  expect(await found(tier)).toBe(90)
  expect(await tier.facts([...facts, 'all'])).toEqual([...known, 'third'])
})

it('a server that comes back with what it had neither undoes nor hides what has changed', async () => {
  const [, cut] = proxies as [FaultProxy, FaultProxy]
  const tier = await open(proxies)
  for (const fact of facts) await tier.publish(fact, 'before')
  cut.set('reset')
  await eventually(() => expect(tier.trouble).not.toBe(''))
  for (const fact of facts) await tier.publish(fact, 'after')
  const since = tier.since as number
  cut.set('pass')
  await eventually(() => expect(tier.trouble).toBe(''), { timeoutMs: 10_000 })
  // For a while after that nobody believes what it says of a key that was removed.
  expect(tier.since).toBeGreaterThan(since)
  const after = facts.map(() => 'after')
  expect(await tier.facts(facts)).toEqual(after)
  // Reading has brought it up to date: the others may go now.
  const own = await open([proxies[1] as FaultProxy])
  await eventually(async () => expect(await own.facts(facts)).toEqual(after))
})

it('an answer that is purged while its server is away does not come back with it, whoever knew of the purge is gone', async () => {
  const [, cut] = proxies as [FaultProxy, FaultProxy]
  cleanup.push(() => cut.set('pass'))
  const first = gateway(await open(proxies))
  const entry = await eventually(() => {
    const made = anEntry(randomBytes(8).toString('hex'), { createdAt: Date.now() })
    expect(ownerOf(made.digest)).toBe(1)
    return made
  })
  first.cache.store(entry)
  await eventually(async () => expect(await first.cache.lookup([entry.digest])).not.toEqual([undefined]))
  cut.set('reset')
  await eventually(() => expect(first.tier.takes?.(entry.digest, 1)).toBe(false))
  expect(await first.purged.purge(entry.digest)).toBe(false)
  first.purged.stop()
  await first.tier.close()

  const tier = createMemcachedTier({ name: 'memcached', servers: at(proxies), ...patient })
  cleanup.push(() => tier.close())
  await eventually(() => tier.facts(['any']))
  const second = gateway(tier)
  second.purged.start()
  cleanup.push(() => second.purged.stop())
  await second.purged.poll()
  cut.set('pass')
  await eventually(() => expect(tier.takes?.(entry.digest, 1)).toBe(true), { timeoutMs: 10_000 })
  // It is deleted there within a second; until then it is not given.
  await eventually(async () => {
    expect(await second.cache.lookup([entry.digest])).toEqual([undefined])
    expect(await tier.getMany([entry.digest])).toEqual([undefined])
  })
})

/** A gateway as far as purges of single answers go. */
function gateway(tier: Tier) {
  const cache = createTiered({ tiers: [guardTier(tier, patient)] })
  const purged = new PurgedKeys({
    shared: cache,
    clock: systemClock,
    log: silentLog,
    forget: (digest) => cache.remove(digest),
    purged: async () => true,
    overflow: () => Promise.reject(new Error('there are few')),
  })
  return { tier, cache, purged }
}

/** The place of the server that has the key. */
function ownerOf(digest: Digest): number {
  const named = at(proxies).map((name) => ({ name }))
  return named.indexOf(createRendezvous(named).first(digest))
}

it('of gateways that claim a fact at once all get one value', async () => {
  const [one, two] = [await open(servers), await open(servers)]
  const names = facts.map((fact) => `${fact}/claimed`)
  const [first, second] = await Promise.all([one, two].map((tier, i) => claims(tier, names, `${i}`)))
  expect(first).toEqual(second)
  expect(await one.facts(names)).toEqual(first)
})

const claims = (tier: Tier, names: readonly string[], value: string) =>
  Promise.all(names.map((name) => tier.claim(name, value)))

it('a server that freezes under load costs its own keys, and opens nobody else’s breaker', async () => {
  const times = { readTimeout: 100, writeTimeout: 300 }
  const tier = await open(servers, times)
  await fill(tier)
  const logged: string[] = []
  const note: Log['warn'] = (event, fields) => void logged.push([event, fields?.['missing']].join(' '))
  const log: Log = { ...silentLog, info: note, warn: note }
  const guard = guardTier(tier, { ...times, log })
  const frozen = servers[2] as TestServer
  frozen.freeze()
  cleanup.push(() => frozen.thaw())
  let hits = 0
  // Many at once, each for one key: a third of them wait for the frozen server.
  for (let round = 0; round < 8; round++) {
    const values = await Promise.all(digests.map((digest) => guard.getMany([digest], times.readTimeout - 2)))
    hits += values.flat().filter(Boolean).length
  }
  expect(guard.state).toBe('closed')
  expect(hits).toBeGreaterThan(8 * 40)
  await eventually(async () => {
    const began = performance.now()
    await guard.getMany(digests)
    expect(performance.now() - began).toBeLessThan(30)
  })
  expect(new Set(digests.map((digest) => guard.takes(digest, 1)))).toEqual(new Set([true, false]))
  frozen.thaw()
  await eventually(
    async () => {
      await guard.getMany(digests)
      expect(await found(tier)).toBe(90)
      expect([logged[0], logged.at(-1)]).toEqual([`tier.partial ${at([frozen])}`, 'tier.whole '])
    },
    { timeoutMs: 15_000 },
  )
})

it('one server more moves its own share of the keys, wherever it stands in the list', async () => {
  const two = await open(servers.slice(0, 2))
  await fill(two)
  const three = await open([servers[2], servers[1], servers[0]] as TestServer[])
  await servers[2]?.restart()
  await eventually(async () => {
    const left = await found(three)
    expect([left > 40, left < 80]).toEqual([true, true])
  })
})
