/** The process memory against a plain Map: it may forget, it may never mix up, and it never grows. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestOf } from '../../src/core/key.ts'
import { allocateMemory, createMemory, type Memory } from '../../src/data/cache/memory/memory.ts'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import { FakeClock } from '../support/fake-clock.ts'

const MAX_BYTES = 64 * 1024

const key = fc.nat(400)
const costMs = fc.oneof(fc.constantFrom(0, 1e-6, 2, 2_000, 1e12), fc.double({ min: 0, noNaN: true }))
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('set' as const),
      key,
      size: fc.nat(900),
      ttl: fc.nat(5_000),
      costMs,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('set' as const),
      key,
      size: fc.nat(20_000),
      ttl: fc.nat(5_000),
      costMs,
    }),
  },
  { weight: 6, arbitrary: fc.record({ op: fc.constant('get' as const), key }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('delete' as const), key }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('wait' as const), ms: fc.nat(1_000) }) },
)

const variants: readonly [string, (clock?: Clock) => Memory][] = [
  [
    'of one thread',
    (clock = systemClock) => createMemory({ maxBytes: MAX_BYTES, maxEntryBytes: 16_000, clock }),
  ],
  [
    'of several threads',
    (clock = systemClock) =>
      createMemory({ shared: allocateMemory(MAX_BYTES, 2), worker: 1, maxEntryBytes: 16_000, clock }),
  ],
]

describe.each(variants)('the process memory %s', (_, open) => {
  it('I20: stays within maxBytes after every operation and never gives a wrong or expired value', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 300, maxLength: 2_000, size: 'max' }), (steps) => {
        const clock = new FakeClock()
        const memory = open(clock)
        const model = new Map<number, { value: Buffer; expiresAt: number }>()
        let serial = 0
        for (const s of steps) {
          if (s.op === 'wait') clock.advance(s.ms)
          else if (s.op === 'delete') {
            memory.delete(digestOf(`${s.key}`))
            model.delete(s.key)
          } else if (s.op === 'set') {
            const value = Buffer.alloc(s.size, ++serial)
            const expiresAt = clock.now() + s.ttl
            const { costMs } = s
            if (memory.set(digestOf(`${s.key}`), value, expiresAt, { costMs }))
              model.set(s.key, { value, expiresAt })
            else model.delete(s.key)
          } else {
            const found = memory.get(digestOf(`${s.key}`))
            const known = model.get(s.key)
            if (found) {
              expect(known && known.expiresAt > clock.now()).toBe(true)
              expect(Buffer.compare(found, known?.value as Buffer)).toBe(0)
            }
          }
          expect(memory.bytes).toBeLessThanOrEqual(MAX_BYTES)
          expect(memory.entries).toBeLessThanOrEqual(model.size)
        }
        for (const n of model.keys()) memory.delete(digestOf(`${n}`))
        expect([memory.bytes, memory.entries]).toEqual([0, 0])
      }),
      { numRuns: 40 },
    )
  })

  it('I20: holds for values of nothing, which fill the index before the logs', () => {
    const memory = open()
    for (let n = 0; n < 5_000; n++) {
      expect(memory.set(digestOf(`${n}`), Buffer.alloc(0), Number.MAX_VALUE)).toBe(true)
      memory.get(digestOf(`${n % 97}`))
      expect(memory.bytes).toBeLessThanOrEqual(MAX_BYTES)
      expect(memory.get(digestOf(`${n}`))?.length).toBe(0)
    }
  })
})
