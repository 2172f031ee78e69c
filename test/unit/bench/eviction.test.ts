/** What the simulation of process memory claims, at a small size: few keys, so more of its requests are first ones. */
import { describe, expect, it } from 'vitest'
import { play } from '../../../bench/sim/eviction/play.ts'
import { arena, greedyDual, memoryFor, s3Fifo } from '../../../bench/sim/eviction/rivals.ts'
import { EQUAL, SLOW, traceOf, UNEQUAL, type Workload } from '../../../bench/sim/eviction/workloads.ts'

const KEYS = 4_000
const COUNT = 80_000

const open = { arena, greedyDual, s3Fifo } as const

function saved(workload: Workload, policy: keyof typeof open): number {
  const trace = traceOf(workload, { keys: KEYS, count: COUNT, seed: 5 })
  return play(workload, trace, open[policy](memoryFor(trace.bytes / 10, KEYS / 10)), COUNT).savedShare
}

const unequal = (name: string): Workload => UNEQUAL.find((each) => each.name === name) as Workload

describe('process memory in simulation', () => {
  it.each(EQUAL)('is no worse than S3-FIFO where misses cost the same: $name', (workload) => {
    expect(saved(workload, 'arena') / saved(workload, 's3Fifo')).toBeGreaterThan(0.97)
  })

  it.each([
    ['a tenth costs 100 times, Zipf 1.0', 1.1],
    ['a tenth costs 100 times, Zipf 0.7', 1.3],
    ['a tenth costs 100 times, drifting', 1.3],
    ['any cost of 20 ms to 2 s, Zipf 0.7', 1.1],
  ])('saves more backend time where they do not: %s', (name, least) => {
    const workload = unequal(name)
    expect(saved(workload, 'arena') / saved(workload, 's3Fifo')).toBeGreaterThan(least)
  })

  it('does not keep dear answers that nobody asks for again, as GreedyDual does', () => {
    const workload = unequal('dear ones never again, Zipf 0.9')
    const before = saved(workload, 's3Fifo')
    expect(saved(workload, 'arena') / before).toBeGreaterThan(0.95)
    expect(saved(workload, 'greedyDual') / before).toBeLessThan(0.8)
  })

  it('gets over a backend that was slow for a while', () => {
    expect(saved(SLOW, 'arena') / saved(SLOW, 's3Fifo')).toBeGreaterThan(0.92)
  })
})
