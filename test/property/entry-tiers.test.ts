/**
 * The tiered cache over tiers that fail at random: whatever they do, no look-up gives a wrong or dead entry,
 * takes longer than its bound, or asks an open tier; and no write is felt.
 */
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestOf } from '../../src/core/key.ts'
import { type Entry, lifeMs } from '../../src/data/cache/entry.ts'
import { createMemory } from '../../src/data/cache/memory/memory.ts'
import { createTiered } from '../../src/data/cache/tiered.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { anEntry } from '../support/entries.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FakeTier, type TierFault } from '../support/fake-tier.ts'
import { settled } from '../support/settled.ts'

const READ_TIMEOUT = 20

const fault: fc.Arbitrary<TierFault> = fc.oneof(
  { weight: 4, arbitrary: fc.constant('none' as const) },
  {
    weight: 4,
    arbitrary: fc.constantFrom('error' as const, 'throw' as const, 'hang' as const, 'garbage' as const),
  },
  { weight: 2, arbitrary: fc.nat(40).map((delayMs) => ({ delayMs })) },
)
const key = fc.nat(12)
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('store' as const),
      key,
      ttlMs: fc.integer({ min: 1, max: 20_000 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ op: fc.constant('lookup' as const), keys: fc.array(key, { maxLength: 6 }) }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('remove' as const), key }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('wait' as const), ms: fc.nat(4_000) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('fault' as const), tier: fc.nat(1), fault }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('restart' as const) }) },
)

function gateway(clock: FakeClock, tiers: readonly FakeTier[]) {
  const guards = tiers.map((tier) => guardTier(tier, { clock, readTimeout: READ_TIMEOUT, writeTimeout: 50 }))
  const memory = createMemory({ maxBytes: 64 * 1024, clock })
  return { guards, memory, cache: createTiered({ memory, tiers: guards, clock, queue: { maxEntries: 20 } }) }
}

describe('the tiered cache over failing tiers', () => {
  it('I10, I18, I19, I20: is never wrong, never late and never felt', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }), async (steps) => {
        const clock = new FakeClock()
        const tiers = [new FakeTier({ name: 'a', clock }), new FakeTier({ name: 'b', clock })]
        let { guards, memory, cache } = gateway(clock, tiers)
        const stored = new Map<string, Entry>()
        let serial = 0

        const judge = (entry: Entry) => {
          const original = stored.get(Buffer.from(entry.body).toString())
          expect(original?.digest).toBe(entry.digest)
          expect([entry.createdAt, entry.ttlMs]).toEqual([original?.createdAt, original?.ttlMs])
          expect(lifeMs(entry, clock.wall())).toBeGreaterThan(0)
        }

        for (const s of steps) {
          if (s.op === 'wait') clock.advance(s.ms)
          else if (s.op === 'fault') (tiers[s.tier] as FakeTier).fault = () => s.fault
          else if (s.op === 'restart') ({ guards, memory, cache } = gateway(clock, tiers))
          else if (s.op === 'remove') await settled(clock, cache.remove(digestOf(`${s.key}`)))
          else if (s.op === 'store') {
            const value = `${s.key}:${++serial}`
            const entry = anEntry(`${s.key}`, {
              body: Buffer.from(value),
              createdAt: clock.wall(),
              ttlMs: s.ttlMs,
            })
            stored.set(value, entry)
            const start = clock.now()
            cache.store(entry)
            expect(clock.now()).toBe(start)
            expect(cache.stats().tiers.every((tier) => tier.queued <= 20)).toBe(true)
          } else {
            const digests = s.keys.map((n) => digestOf(`${n}`))
            for (const digest of digests) {
              const entry = cache.peek(digest)
              if (entry) judge(entry)
            }
            // What was put off to the next turn, the queued writes, is not the look-up's.
            await turn()
            await turn()
            const calls = tiers.map((tier) => tier.lookups)
            const open = guards.map((guard) => guard.state === 'open')
            const { value, tookMs } = await settled(clock, cache.lookup(digests))
            expect(tookMs).toBeLessThanOrEqual(READ_TIMEOUT + 10)
            // An open tier is looked into at most once, and only by the probe; unasked, it costs no time. Writes have a breaker of their own.
            const asked = tiers.map((tier, n) => tier.lookups - (calls[n] as number))
            for (const [n, isOpen] of open.entries()) if (isOpen) expect(asked[n]).toBeLessThanOrEqual(1)
            if (open.every((isOpen, n) => isOpen && asked[n] === 0)) expect(tookMs).toBe(0)
            for (const found of value) if (found) judge(found.entry)
          }
          expect(memory.bytes).toBeLessThanOrEqual(64 * 1024)
        }
      }),
      { numRuns: 150 },
    )
  })
})
