/** The meta word of a record against a plain object. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import {
  costOf,
  expectedReads,
  IN_MAIN,
  isRead,
  LIVE,
  metaMoved,
  metaNew,
  metaPromoted,
  metaRead,
  metaReturned,
  metaTurned,
  ON_TRIAL,
} from '../../src/data/cache/memory/record-meta.ts'

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant('read' as const) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('turn' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('return' as const), cost: fc.nat(31) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('try' as const),
      reads: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
)

it('a record knows its cost, its reads since the last turn and its heat, and never takes one for another', () => {
  fc.assert(
    fc.property(fc.nat(31), fc.array(step, { maxLength: 80 }), (cost, steps) => {
      let meta = metaRead(metaNew(cost))
      meta = metaPromoted(meta)
      const model = { cost, reads: 0, heat: 1, isOnTrial: false }
      for (const s of steps) {
        if (s.op === 'read') {
          meta = metaRead(meta)
          model.reads = Math.min(3, model.reads + 1)
        } else if (s.op === 'turn') {
          meta = metaTurned(meta)
          Object.assign(model, {
            reads: 0,
            heat: Math.min(2.5, model.heat * 0.75 + model.reads),
            isOnTrial: false,
          })
        } else if (s.op === 'return') {
          meta = metaReturned(s.cost, meta)
          Object.assign(model, { cost: s.cost, reads: 0, heat: Math.max(1, model.heat), isOnTrial: false })
        } else {
          meta = metaMoved(meta, s.reads) | ON_TRIAL
          Object.assign(model, { reads: 0, heat: s.reads, isOnTrial: true })
        }
        expect(meta).toBeGreaterThan(0)
        expect((meta & LIVE) !== 0 && (meta & IN_MAIN) !== 0).toBe(true)
        expect([costOf(meta), isRead(meta), (meta & ON_TRIAL) !== 0]).toEqual([
          model.cost,
          model.reads > 0,
          model.isOnTrial,
        ])
        // Each turn rounds down by at most 1/256, of which a quarter is forgotten in the next.
        expect(Math.abs(expectedReads(meta) - model.heat)).toBeLessThan(0.02)
      }
    }),
    { numRuns: 300 },
  )
})
