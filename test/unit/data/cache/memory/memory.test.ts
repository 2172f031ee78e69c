import { describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../../../../src/core/key.ts'
import { allocateMemory, createMemory } from '../../../../../src/data/cache/memory/memory.ts'
import { HotCache } from '../../../../../src/data/hits/hot-cache.ts'
import { FakeClock } from '../../../../support/fake-clock.ts'

const MiB = 1024 * 1024
const keys = (name: string, count: number): Digest[] =>
  Array.from({ length: count }, (_, n) => digestOf(`${name} ${n}`))
const forever = Number.MAX_VALUE

describe('the process memory', () => {
  it('gives back what it was given, up to 1 MiB, and not the same bytes object', () => {
    const memory = createMemory({ maxBytes: 8 * MiB })
    for (const size of [0, 1, 7, 8, 9, 300, MiB]) {
      const digest = digestOf(`size ${size}`)
      const value = Buffer.alloc(size, size)
      expect(memory.set(digest, value, forever)).toBe(true)
      value.fill(0xee)
      expect(memory.get(digest)).toEqual(Buffer.alloc(size, size))
    }
  })

  it('takes entries of nearly half its bytes, however many threads share it, where room was made for them', () => {
    const one = createMemory({ maxBytes: 16 * MiB })
    expect(one.set(digestOf('large'), Buffer.alloc(6 * MiB, 1), forever)).toBe(true)
    expect(one.get(digestOf('large'))?.length).toBe(6 * MiB)
    expect(one.set(digestOf('larger'), Buffer.alloc(7 * MiB), forever)).toBe(false)
    for (const [threads, maxEntryBytes] of [
      [1, 6],
      [2, 6],
      [8, 6],
      [8, 20],
    ] as const) {
      const shared = allocateMemory(64 * MiB, threads, maxEntryBytes * MiB)
      const memory = createMemory({ shared, worker: 0 })
      for (const digest of keys('large', 8)) {
        expect(memory.set(digest, Buffer.alloc(maxEntryBytes * MiB, 2), forever)).toBe(true)
        expect(memory.get(digest)?.length).toBe(maxEntryBytes * MiB)
      }
    }
    expect(allocateMemory(64 * MiB, 8).arenas.length).toBe(8)
  })

  it('a value once given stays right when the memory is overwritten', () => {
    const memory = createMemory({ maxBytes: 64 * 1024 })
    memory.set(digestOf('first'), Buffer.alloc(300, 1), forever)
    const found = memory.get(digestOf('first'))
    for (const digest of keys('later', 2_000)) memory.set(digest, Buffer.alloc(300, 2), forever)
    expect(found).toEqual(Buffer.alloc(300, 1))
  })

  it('forgets when the time has come', () => {
    const clock = new FakeClock()
    const memory = createMemory({ maxBytes: MiB, clock })
    memory.set(digestOf('a'), Buffer.from('x'), clock.now() + 100)
    clock.advance(99)
    expect(memory.get(digestOf('a'))).toBeDefined()
    clock.advance(1)
    expect(memory.get(digestOf('a'))).toBeUndefined()
    expect(memory.entries).toBe(0)
  })

  it('refuses what is too large or already expired, and forgets what it replaces', () => {
    const clock = new FakeClock()
    const memory = createMemory({ maxBytes: MiB, maxEntryBytes: 1_000, clock })
    memory.set(digestOf('a'), Buffer.from('old'), forever)
    expect(memory.set(digestOf('a'), Buffer.alloc(1_001), forever)).toBe(false)
    expect(memory.get(digestOf('a'))).toBeUndefined()
    expect(memory.set(digestOf('b'), Buffer.from('x'), clock.now())).toBe(false)
    expect(memory.stats().refused).toBe(2)
  })

  it('fills its bytes before it forgets anything', () => {
    const memory = createMemory({ maxBytes: 4 * MiB })
    const all = keys('fill', 9_000)
    for (const digest of all) memory.set(digest, Buffer.alloc(300), forever)
    expect(memory.stats().evictions).toBe(0)
    expect(all.every((digest) => memory.get(digest))).toBe(true)
  })

  it('keeps the hot thousand through one pass over keys used once', () => {
    const memory = createMemory({ maxBytes: 8 * MiB })
    const hot = keys('hot', 1_000)
    for (const digest of keys('warm', 30_000)) memory.set(digest, Buffer.alloc(300), forever)
    for (const digest of hot) {
      memory.set(digest, Buffer.alloc(300), forever)
      memory.get(digest)
    }
    for (const digest of keys('scan', 60_000)) memory.set(digest, Buffer.alloc(300), forever)
    expect(hot.filter((digest) => memory.get(digest)).length).toBe(1_000)
  })

  it('takes at once to the main log what comes back soon after it was forgotten', () => {
    const memory = createMemory({ maxBytes: MiB })
    for (const digest of keys('fill', 6_000)) memory.set(digest, Buffer.alloc(300), forever)
    for (const digest of keys('more', 400)) memory.set(digest, Buffer.alloc(300), forever)
    const back = keys('fill', 5_600).slice(5_500)
    expect(back.filter((digest) => memory.get(digest)).length).toBe(0)
    for (const digest of back) memory.set(digest, Buffer.alloc(300), forever)
    for (const digest of keys('scan', 5_000)) memory.set(digest, Buffer.alloc(300), forever)
    // Fingerprints share slots, so some are forgotten as well.
    expect(back.filter((digest) => memory.get(digest)).length).toBeGreaterThan(60)
  })

  it('says what is wrong with a maxBytes that cannot work', () => {
    expect(() => createMemory({ maxBytes: 1_000 })).toThrow(/at least 65536/)
  })
})

describe('hot answers', () => {
  it('are bounded by bytes, expire, and are cleared', () => {
    const clock = new FakeClock()
    const hot = new HotCache<string>({ maxBytes: 10_000, clock })
    for (const digest of keys('hot', 100))
      hot.set(digest, 'answer', { bytes: 600, expiresAt: clock.now() + 10 })
    expect([hot.entries, hot.bytes]).toEqual([10, 10_000])
    expect(hot.get(digestOf('hot 99'))).toBe('answer')
    clock.advance(10)
    expect(hot.get(digestOf('hot 99'))).toBeUndefined()
    hot.clear()
    expect([hot.entries, hot.bytes]).toEqual([0, 0])
  })
})
