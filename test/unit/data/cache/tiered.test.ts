import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/key.ts'
import { encode } from '../../../../src/data/cache/entry.ts'
import { createMemory } from '../../../../src/data/cache/memory/memory.ts'
import { createTiered } from '../../../../src/data/cache/tiered.ts'
import { guardTier } from '../../../../src/data/cache/tiers/guard.ts'
import { anEntry } from '../../../support/entries.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { FakeTier } from '../../../support/fake-tier.ts'
import { settled } from '../../../support/settled.ts'

function setup(count = 2, ttlCap?: number) {
  const clock = new FakeClock()
  const tiers = Array.from({ length: count }, (_, n) => new FakeTier({ name: `tier${n}`, clock }))
  const open = () =>
    createTiered({
      memory: createMemory({ maxBytes: 1024 * 1024, clock }),
      tiers: tiers.map((tier) => guardTier(tier, { clock, readTimeout: 25 })),
      clock,
      ...(ttlCap === undefined ? {} : { ttlCap }),
    })
  const made = (name: string, changes = {}) => anEntry(name, { createdAt: clock.wall(), ...changes })
  return { clock, tiers, open, made, cache: open() }
}

const body = (entry?: { body: Uint8Array }) => entry && Buffer.from(entry.body).toString()

describe('the tiered cache', () => {
  it('has a stored entry in memory at once and in every tier soon after', async () => {
    const { tiers, cache, made } = setup()
    const entry = made('a')
    cache.store(entry)
    expect(body(cache.peek(entry.digest))).toBe(body(entry))
    expect(tiers.map((tier) => tier.calls)).toEqual([0, 0])
    await cache.close()
    expect(tiers.map((tier) => tier.kept.has(entry.digest))).toEqual([true, true])
  })

  it('keeps what an answer has cost, in memory and where it comes from a tier', async () => {
    const { clock, tiers, cache, made } = setup()
    const [stored, found] = [made('stored', { costMs: 12.5 }), made('found', { costMs: 7 })]
    cache.store(stored)
    expect(cache.peek(stored.digest)?.costMs).toBe(12.5)
    await tiers[1]?.set(found.digest, encode(found), 60_000)
    const { value } = await settled(clock, cache.lookup([found.digest]))
    expect(value?.[0]?.entry.costMs).toBe(7)
    expect(cache.peek(found.digest)?.costMs).toBe(7)
    await cache.close()
  })

  it('keeps from the shared tiers what is for memory only', async () => {
    const { tiers, cache, made } = setup()
    cache.store(made('a'), { memoryOnly: true })
    await cache.close()
    expect([cache.peek(digestOf('a')) !== undefined, tiers[0]?.kept.size]).toEqual([true, 0])
  })

  it('asks a slower tier only for what is missing, and fills the faster ones', async () => {
    const { clock, tiers, cache, made } = setup()
    const [a, b, c] = ['a', 'b', 'c'].map((name) => made(name))
    if (!a || !b || !c) throw new Error('three entries')
    await tiers[0]?.set(a.digest, encode(a), 60_000)
    await tiers[1]?.set(b.digest, encode(b), 60_000)
    const asked: string[][] = tiers.map(() => [])
    tiers.forEach((tier, n) => {
      const getMany = tier.getMany.bind(tier)
      tier.getMany = (digests) => {
        asked[n]?.push(...digests)
        return getMany(digests)
      }
    })
    const { value } = await settled(clock, cache.lookup([a, b, c].map(({ digest }) => digest)))
    expect(value.map((found) => found?.tier)).toEqual(['tier0', 'tier1', undefined])
    expect(asked).toEqual([
      [a.digest, b.digest, c.digest],
      [b.digest, c.digest],
    ])
    await cache.close()
    expect(tiers[0]?.kept.has(b.digest)).toBe(true)
    expect(cache.peek(b.digest)?.createdAt).toBe(b.createdAt)
  })

  it('I10: a copy dies with the original, however late it was copied', async () => {
    const { clock, tiers, cache, open, made } = setup(1)
    const entry = made('a', { ttlMs: 1_000, swrMs: 500 })
    await tiers[0]?.set(entry.digest, encode(entry), 1e9)
    clock.advance(1_400)
    expect((await settled(clock, cache.lookup([entry.digest]))).value[0]?.entry.createdAt).toBe(
      entry.createdAt,
    )
    expect(cache.peek(entry.digest)).toBeDefined()
    clock.advance(100)
    expect(cache.peek(entry.digest)).toBeUndefined()
    expect((await settled(clock, open().lookup([entry.digest]))).value).toEqual([undefined])
  })

  it('a wall clock stepped back does not keep an entry in memory beyond its life', () => {
    const { clock, cache, made } = setup(0)
    const entry = made('a', { ttlMs: 1_000 })
    cache.store(entry)
    clock.stepWall(-3_600_000)
    clock.advance(1_000)
    expect(cache.peek(entry.digest)).toBeUndefined()
  })

  it('keeps an entry in memory no longer than the cap', () => {
    const { clock, cache, made } = setup(0, 100)
    cache.store(made('a'))
    clock.advance(100)
    expect(cache.peek(digestOf('a'))).toBeUndefined()
  })

  it('I18: two hanging tiers together add at most the largest read timeout and 10 ms', async () => {
    const { clock, tiers, cache } = setup(2)
    for (const tier of tiers) tier.fault = () => 'hang'
    const { value, tookMs } = await settled(clock, cache.lookup([digestOf('a')]))
    expect(value).toEqual([undefined])
    expect(tookMs).toBeLessThanOrEqual(35)
  })

  it('still finds in the second tier what the hanging first one hides', async () => {
    const { clock, tiers, cache, made } = setup(2)
    const entry = made('a')
    await tiers[1]?.set(entry.digest, encode(entry), 60_000)
    for (const tier of tiers) tier.fault = () => (tier === tiers[0] ? 'hang' : { delayMs: 2 })
    expect((await settled(clock, cache.lookup([entry.digest]))).value[0]?.tier).toBe('tier1')
  })

  it('leaves the third tier a chance though two before it hang', async () => {
    const { clock, tiers, cache, made } = setup(3)
    const entry = made('a')
    await tiers[2]?.set(entry.digest, encode(entry), 60_000)
    for (const tier of tiers) tier.fault = () => (tier === tiers[2] ? { delayMs: 1 } : 'hang')
    const { value, tookMs } = await settled(clock, cache.lookup([entry.digest]))
    expect(value[0]?.tier).toBe('tier2')
    expect(tookMs).toBeLessThanOrEqual(35)
  })

  it('counts garbage and takes it for absent', async () => {
    const { clock, tiers, cache, made } = setup(1)
    await tiers[0]?.set(digestOf('a'), Buffer.from('nonsense'), 60_000)
    await tiers[0]?.set(digestOf('b'), encode(made('a')), 60_000)
    const { value } = await settled(clock, cache.lookup([digestOf('a'), digestOf('b')]))
    expect(value).toEqual([undefined, undefined])
    expect(cache.stats().tiers[0]).toMatchObject({ garbled: 2, misses: 2, hits: 0 })
  })

  it('removes everywhere, and a write or a look-up under way does not bring it back', async () => {
    const { clock, tiers, cache, made } = setup(1)
    const entry = made('a')
    cache.store(entry)
    await settled(clock, cache.remove(entry.digest))
    expect([cache.peek(entry.digest), tiers[0]?.kept.size]).toEqual([undefined, 0])

    await tiers[0]?.set(entry.digest, encode(entry), 60_000)
    for (const tier of tiers) tier.fault = () => ({ delayMs: 5 })
    const late = cache.lookup([entry.digest])
    const removed = cache.remove(entry.digest)
    await settled(clock, Promise.all([late, removed]))
    expect(cache.peek(entry.digest)).toBeUndefined()
    await settled(clock, cache.close())
    expect(tiers[0]?.kept.size).toBe(0)
  })

  it('does not put an older answer over the one stored meanwhile', async () => {
    const { clock, tiers, cache, made } = setup(1)
    const old = made('a', { body: Buffer.from('old') })
    await tiers[0]?.set(old.digest, encode(old), 60_000)
    for (const tier of tiers) tier.fault = () => ({ delayMs: 5 })
    const late = cache.lookup([old.digest])
    clock.advance(1)
    cache.store(made('a', { body: Buffer.from('new') }))
    await settled(clock, late)
    expect(body(cache.peek(old.digest))).toBe('new')
  })

  it('shares facts through the first tier, and says so when it cannot', async () => {
    const { clock, tiers, cache, open } = setup(2)
    expect((await settled(clock, cache.claim('token', 'a'))).value).toBe('a')
    expect((await settled(clock, open().claim('token', 'b'))).value).toBe('a')
    expect([tiers[0]?.facts_.size, tiers[1]?.facts_.size]).toEqual([1, 0])
    for (const tier of tiers) tier.fault = () => 'error'
    expect((await settled(clock, cache.claim('token', 'b'))).value).toBeUndefined()
    expect((await settled(clock, cache.facts(['token']))).value).toBeUndefined()
    expect((await settled(clock, cache.publish('token', 'b'))).value).toBe(false)
  })

  it('keeps facts itself where there is no shared tier', async () => {
    const { cache } = setup(0)
    expect(await cache.claim('token', 'a')).toBe('a')
    expect(await cache.claim('token', 'b')).toBe('a')
    expect(await cache.publish('token', 'c')).toBe(true)
    expect(await cache.facts(['token', 'other'])).toEqual(['c', undefined])
  })

  it('stores nowhere what breaks a bound, and counts it', () => {
    const { cache, made } = setup(1)
    cache.store(made('a', { headers: ['x', 'y'.repeat(70_000)] }))
    expect([cache.peek(digestOf('a')), cache.stats().unstorable]).toEqual([undefined, 1])
  })

  it('says that an entry is stored only where it is', async () => {
    const { tiers, cache, clock, made } = setup()
    expect(cache.store(made('a'))).toBe(true)
    // Memory of 1 MiB does not take it, the tiers do.
    const large = { body: Buffer.alloc(600_000) }
    expect(cache.store(made('large', large), { memoryOnly: true })).toBe(false)
    expect(cache.store(made('large', large))).toBe(true)
    expect(cache.store(made('dead', { createdAt: clock.wall() - 60_000 }))).toBe(false)
    const mark = cache.mark()
    await settled(clock, cache.remove(digestOf('removed')))
    expect(cache.store(made('removed'), { began: mark })).toBe(false)
    for (const tier of tiers) tier.connected = false
    expect([cache.store(made('large', large)), cache.store(made('b'))]).toEqual([false, true])
    const nowhere = createTiered({ tiers: [], clock })
    expect(nowhere.store(made('a'))).toBe(false)
    const queue = { maxBytes: 100_000 }
    const narrow = createTiered({
      tiers: [guardTier(new FakeTier({ clock }), { clock, maxEntryBytes: 200_000 })],
      clock,
      queue,
    })
    expect(
      [50_000, 150_000, 250_000].map((size) => narrow.store(made('a', { body: Buffer.alloc(size) }))),
    ).toEqual([true, false, false])
  })

  it('closes within its deadline though a write hangs', async () => {
    const { clock, tiers, cache, made } = setup(1)
    for (const tier of tiers) tier.fault = () => 'hang'
    for (let n = 0; n < 2_000; n++) cache.store(made(`${n}`))
    const { tookMs } = await settled(clock, cache.close(100))
    expect(tookMs).toBeLessThanOrEqual(100)
  })
})
