// What is learnt of the backends: service times, slots, start times.
import { describe, expect, it } from 'vitest'
import type { Demand, ServiceBin } from '../../../../src/control/scale/demand.ts'
import {
  binOf,
  isotonic,
  type LearnMemory,
  learn,
  learnSlots,
  NOTHING_LEARNT,
  serviceAt,
  startTime,
} from '../../../../src/control/scale/learn.ts'
import { bucketMs, bucketOf, HISTOGRAM_SIZE, quantileMs } from '../../../../src/lib/log-histogram.ts'

const bin = (inflight: number, ms: number, count = 100): ServiceBin => {
  const histogram = new Array<number>(HISTOGRAM_SIZE).fill(0)
  histogram[bucketOf(ms)] = count
  return { inflight, count, sumMs: ms * count, sumSquaresMs: ms * ms * count, histogram }
}

const report = (service: readonly ServiceBin[], startsMs: readonly number[] = []): Demand => ({
  at: 0,
  buckets: [],
  queue: 0,
  inflight: 0,
  oldestWaitMs: 0,
  service,
  latency: [],
  replicas: { ready: 1, startingMs: [], slow: 0, draining: 0 },
  startsMs,
})

const learnt = (service: readonly ServiceBin[], startsMs: readonly number[] = []): LearnMemory =>
  learn(NOTHING_LEARNT, report(service, startsMs), 0)

describe('a histogram', () => {
  it('finds a duration within a fifth of itself, from microseconds to half an hour', () => {
    for (let ms = 0.06; ms < 1_000_000; ms *= 1.37) {
      const counts = new Array<number>(HISTOGRAM_SIZE).fill(0)
      counts[bucketOf(ms)] = 1
      expect((quantileMs(counts, 0.5) ?? 0) / ms).toBeGreaterThan(0.8)
      expect((quantileMs(counts, 0.5) ?? 0) / ms).toBeLessThan(1.2)
    }
  })

  it('says nothing when nothing was counted, and takes anything', () => {
    expect(quantileMs([], 0.95)).toBeUndefined()
    expect([0, -1, Number.NaN, 1e12].map(bucketOf)).toEqual([0, 0, 0, HISTOGRAM_SIZE - 1])
    expect(bucketMs(0, 0)).toBe(0.05)
  })
})

describe('the isotonic fit', () => {
  it.each([
    ['rising stays', [1, 2, 3], [1, 1, 1], [1, 2, 3]],
    ['a dip is pooled with what is before it', [1, 5, 3, 6], [1, 1, 1, 1], [1, 4, 4, 6]],
    ['weights count', [4, 1], [3, 1], [3.25, 3.25]],
    ['falling becomes its mean', [9, 6, 3], [1, 1, 1], [6, 6, 6]],
    ['nothing is nothing', [], [], []],
  ])('%s', (_name, values, weights, wanted) => {
    expect(isotonic(values, weights)).toEqual(wanted)
  })
})

describe('slots a replica', () => {
  it('are as many calls at a time as stay inside the budget', () => {
    const memory = learnt([bin(1, 50), bin(2, 51), bin(4, 52), bin(8, 110), bin(16, 230)])
    expect(learnSlots(memory, 130)).toBe(8)
    expect(learnSlots(memory, 65)).toBe(4)
  })

  it('reach at most a quarter beyond what was seen to be good', () => {
    expect(learnSlots(learnt([bin(1, 50), bin(4, 52), bin(8, 53)]), 120)).toBe(10)
  })

  it('are at least one, and unknown until enough calls were seen', () => {
    expect(learnSlots(learnt([bin(1, 500)]), 120)).toBe(1)
    expect(learnSlots(learnt([bin(4, 50, 5)]), 120)).toBeUndefined()
  })

  it('are told apart up to four, then by half octaves', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 100].map(binOf)).toEqual([
      1, 2, 3, 4, 4, 6, 6, 8, 8, 12, 12, 16, 96,
    ])
  })
})

describe('service times', () => {
  it('leave out replicas that held more calls than they bear', () => {
    const memory = learnt([bin(1, 50), bin(4, 50), bin(16, 800, 10_000)])
    expect(serviceAt(memory, 4)?.meanMs).toBeCloseTo(50)
    expect(serviceAt(memory, 16)?.meanMs).toBeGreaterThan(700)
  })

  it('have the variability of what was measured', () => {
    expect(serviceAt(learnt([bin(1, 10, 900), bin(1, 110, 100)]), 1)?.scv).toBeCloseTo(2.25, 5)
  })

  it('fade when calls become faster, and stay when none come', () => {
    let memory = learnt([bin(1, 100)])
    for (let second = 0; second < 600; second++) memory = learn(memory, report([]), 1_000)
    expect(serviceAt(memory, 1)?.meanMs).toBeCloseTo(100)
    for (let second = 0; second < 600; second++) memory = learn(memory, report([bin(1, 20, 1)]), 1_000)
    expect(serviceAt(memory, 1)?.meanMs).toBeLessThan(25)
  })

  it('stay known when the only call of an idle replica fades under a load that keeps it full', () => {
    let memory = learnt([bin(1, 100, 1)])
    for (let second = 0; second < 300; second++) {
      memory = learn(memory, report([bin(8, 800, 10)]), 1_000)
      expect(serviceAt(memory, 1)?.meanMs).toBeGreaterThan(99)
    }
  })

  it('are unknown before the first call', () => {
    expect(serviceAt(NOTHING_LEARNT, 4)).toBeUndefined()
  })
})

describe('the start time', () => {
  it('is assumed until three starts were seen, then nine in ten are faster', () => {
    expect(startTime(NOTHING_LEARNT, 10_000)).toBe(10_000)
    expect(startTime(learnt([], [12_000]), 10_000)).toBe(12_000)
    expect(
      startTime(
        learnt(
          [],
          [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((s) => s * 1000),
        ),
        60_000,
      ),
    ).toBe(9_000)
  })
})
