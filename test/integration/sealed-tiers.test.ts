/** Tiers with a secret over real servers: the contract of tiers holds, and nothing counts that others have written. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/core/key.ts'
import { createMemcachedTier } from '../../src/data/cache/tiers/memcached.ts'
import { createRedisTier } from '../../src/data/cache/tiers/redis.ts'
import { sealTier } from '../../src/data/cache/tiers/sealed-tier.ts'
import type { Tier } from '../../src/data/cache/tiers/tier.ts'
import { createSeal } from '../../src/lib/seal.ts'
import { leaseTierContract } from '../../src/testing/lease-tier.ts'
import { tierContract } from '../../src/testing/tier.ts'
import { eventually } from '../support/eventually.ts'
import { startMemcached, startRedis, type TestServer } from '../support/servers.ts'

const patient = { readTimeout: 2_000, writeTimeout: 2_000 }
const [OURS, NEXT] = ['o'.repeat(32), 'n'.repeat(32)] as const

let redis: TestServer
let memcached: TestServer
beforeAll(async () => {
  redis = await startRedis()
  memcached = await startMemcached()
})
afterAll(() => Promise.all([redis, memcached].map((each) => each?.stop())))

interface Sealing {
  readonly secrets?: readonly string[]
  readonly isEncrypted: boolean
  readonly unverified?: () => void
}

function sealed(tier: Tier, { secrets = [OURS], isEncrypted, unverified = () => {} }: Sealing): Tier {
  const seal = (purpose: string) => createSeal({ secrets, purpose, isEncrypted })
  return sealTier(tier, { entries: seal('entries'), facts: seal('facts'), unverified })
}

const kinds = {
  redis: () => createRedisTier({ name: 'redis', url: redis.url, ...patient }),
  memcached: () =>
    createMemcachedTier({ name: 'memcached', servers: [`127.0.0.1:${memcached.port}`], ...patient }),
}

const SEALS = [
  ['signed', false],
  ['encrypted', true],
] as const

for (const [how, isEncrypted] of SEALS) {
  for (const [name, open] of Object.entries(kinds))
    tierContract(`${name}, ${how}`, async () => sealed(open(), { isEncrypted }))
  leaseTierContract(`redis, ${how}`, async () => [
    sealed(kinds.redis(), { isEncrypted }),
    sealed(kinds.redis(), { isEncrypted }),
  ])
}

describe.each(
  Object.entries(kinds).flatMap(([name, open]) => SEALS.map((seal) => [name, ...seal, open] as const)),
)('%s, %s', (_name, _how, isEncrypted, open) => {
  const opened: Tier[] = []
  let unverified = 0
  const bare = () => kept(open())
  const ours = (secrets?: readonly string[]) =>
    kept(sealed(open(), { isEncrypted, unverified: () => unverified++, ...(secrets ? { secrets } : {}) }))
  function kept(tier: Tier): Tier {
    opened.push(tier)
    return tier
  }
  afterAll(() => Promise.all(opened.map((tier) => tier.close())))
  const up = (...tiers: Tier[]) =>
    eventually(() => Promise.all(tiers.map((tier) => tier.getMany([digestOf('up')]))))
  const found = async (tier: Tier, key: string) => {
    const [value] = await tier.getMany([digestOf(key)])
    return value && Buffer.from(value).toString()
  }

  it('gives nothing that was moved, changed, or written by whoever has no secret, and counts it', async () => {
    const [tier, raw] = [ours(), bare()]
    await up(tier, raw)
    await tier.set(digestOf('mine'), Buffer.from('answer'), 60_000)
    expect(await found(tier, 'mine')).toBe('answer')
    const [stored] = (await raw.getMany([digestOf('mine')])) as [Uint8Array]
    const changed = Buffer.from(stored)
    changed[changed.length - 1] = (changed.at(-1) as number) ^ 1
    const foreign = sealed(raw, { secrets: [NEXT], isEncrypted })
    await raw.set(digestOf('moved'), stored, 60_000)
    await raw.set(digestOf('changed'), changed, 60_000)
    await raw.set(digestOf('planted'), Buffer.from('planted'), 60_000)
    await foreign.set(digestOf('foreign'), Buffer.from('answer'), 60_000)
    const before = unverified
    const keys = ['moved', 'changed', 'planted', 'foreign', 'absent']
    expect(await Promise.all(keys.map((key) => found(tier, key)))).toEqual(keys.map(() => undefined))
    expect(unverified - before).toBe(4)
    expect(await found(tier, 'mine')).toBe('answer')
  })

  it('makes a fact anew that others have written, and keeps its own apart from those without a seal', async () => {
    const [tier, another, raw] = [ours(), ours(), bare()]
    await up(tier, another, raw)
    await raw.publish('sealed/epoch', 'planted')
    expect(await tier.facts(['epoch'])).toEqual([undefined])
    expect(await tier.claim('epoch', 'right')).toBe('right')
    expect(await another.facts(['epoch'])).toEqual(['right'])
    // One fact in the place of another.
    const [other] = (await raw.facts(['sealed/epoch'])) as [string]
    await raw.publish('sealed/deploy', other)
    expect(await tier.facts(['deploy'])).toEqual([undefined])
    await raw.publish('plain', 'theirs')
    expect(await tier.facts(['plain'])).toEqual([undefined])
    await tier.publish('plain', 'ours')
    expect(await raw.facts(['plain'])).toEqual(['theirs'])
  })

  it('is read by gateways that have the new secret already, and by those that have the old one still', async () => {
    const [old, both, next] = [ours([OURS]), ours([NEXT, OURS]), ours([NEXT])]
    await up(old, both, next)
    await old.set(digestOf('of old'), Buffer.from('v'), 60_000)
    await both.set(digestOf('of both'), Buffer.from('w'), 60_000)
    const of = (key: string) => Promise.all([old, both, next].map((tier) => found(tier, key)))
    expect(await of('of old')).toEqual(['v', 'v', undefined])
    expect(await of('of both')).toEqual([undefined, 'w', 'w'])
  })
})
