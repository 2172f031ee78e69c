/** I25: what a cache answers is no load. Whatever is answered, whenever, a pool's report of its load stays what it was. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { DemandMeter } from '../../src/data/measure/demand.ts'
import { FakeClock } from '../support/fake-clock.ts'

const step = fc.record({
  /** Milliseconds before it. */
  pause: fc.constantFrom(0, 1, 30, 99, 100, 250),
  does: fc.constantFrom(
    'offered' as const,
    'enter' as const,
    'leave' as const,
    'wait' as const,
    'take' as const,
  ),
  /** Hits at that moment, and how many of them by a shared tier. */
  hits: fc.nat(3),
  shared: fc.nat(3),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

function reported(steps: readonly Step[], withHits: boolean) {
  const clock = new FakeClock()
  const meter = new DemandMeter(clock)
  const waiting: (() => void)[] = []
  let inflight = 0
  const act = {
    offered: () => meter.offered(),
    enter: () => {
      inflight++
      meter.enter()
    },
    leave: () => {
      if (inflight > 0) meter.leave(40, inflight--)
      meter.served(50)
    },
    wait: () => void waiting.push(meter.wait()),
    take: () => waiting.shift()?.(),
  }
  const reports = steps.map(({ pause, does, hits, shared }) => {
    clock.advance(pause)
    act[does]()
    const answered = withHits ? hits : 0
    for (let i = 0; i < answered; i++) meter.answered(i < shared)
    return meter.read()
  })
  return reports.map((report) => ({
    ...report,
    answeredShared: undefined,
    latency: Array.from(report.latency),
    buckets: report.buckets.map((bucket) => ({ ...bucket, answered: undefined })),
  }))
}

it('I25: hits change nothing of what a pool reports of its backends', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
      expect(reported(steps, true)).toEqual(reported(steps, false))
    }),
    { numRuns: 100 },
  )
})
