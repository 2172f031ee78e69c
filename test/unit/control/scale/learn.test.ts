// What is learnt of the backends: service times, slots, start times.
import { describe, expect, it } from 'vitest'
import type { Demand, ServiceBin } from '../../../../src/control/scale/demand.ts'
import {
  type LearnMemory,
  learn,
  NOTHING_LEARNT,
  serviceAt,
  startTime,
} from '../../../../src/control/scale/learn.ts'
import { estimateSlots, rememberSlots, withOverload } from '../../../../src/control/scale/slot-estimate.ts'
import { binOf } from '../../../../src/core/load.ts'
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

/** Calls of 50 ms on a replica of so many places, by how many were there. */
const full = (places: number, loads: readonly number[], count = 100): ServiceBin[] =>
  loads.map((n) => bin(n, 50 * Math.max(1, n / places), count))
const places = (memory: LearnMemory, demand: Partial<Demand> = {}) => {
  const found = estimateSlots(memory, { ...report([]), ...demand })
  return found && { count: found.count, isKnown: found.isKnown }
}

describe('places of a replica', () => {
  it.each([1, 2, 3, 5, 8, 16, 32])('are %i where more calls at it are served no faster than so many', (m) => {
    const loads = Array.from({ length: 4 * m }, (_, i) => i + 1)
    expect(places(learnt(full(m, loads)))).toEqual({ count: m, isKnown: true })
  })

  it('are at least as many as were served at a time, and not known, while more calls are served faster', () => {
    expect(places(learnt(full(8, [1, 2])))).toEqual({ count: 2, isKnown: false })
    expect(places(learnt(full(8, [1, 2, 4, 6])))).toEqual({ count: 6, isKnown: false })
  })

  it('are what is seen beyond a jump: nothing need have been seen between', () => {
    expect(places(learnt([...full(8, [1, 2]), ...full(8, [20, 40, 64])]))).toEqual({
      count: 8,
      isKnown: true,
    })
  })

  it('are those of a replica that works on all calls at once and is slower for it, or in batches', () => {
    const batches = [1, 2, 4, 8, 16, 32, 64].map((n) => bin(n, 10 + 2 * n))
    const { count = 0, isKnown } = places(learnt(batches)) ?? {}
    expect(isKnown).toBe(true)
    // It serves 64 in 138 ms and one in 12.
    expect(count).toBeGreaterThanOrEqual(5)
    expect(count).toBeLessThanOrEqual(8)
  })

  it('are not known by a few slow calls, which chance explains', () => {
    const slow = { ...bin(2, 90, 6), sumSquaresMs: 6 * 2 * 90 ** 2 }
    expect(places(learnt([{ ...bin(1, 50, 30), sumSquaresMs: 30 * 2 * 50 ** 2 }, slow]))?.isKnown).toBe(false)
  })

  it('are as many as the gateway sends when calls wait there for want of room', () => {
    const memory = learnt(full(16, [1, 2, 8]))
    const waiting = { queue: 5, inflight: 8 }
    expect(places(memory, waiting)).toEqual({ count: 8, isKnown: true })
    // Those who wait for a first replica say nothing of it.
    const nobody = { ...waiting, inflight: 0, replicas: { ready: 0, startingMs: [10], slow: 0, draining: 0 } }
    expect(places(memory, nobody)?.isKnown).toBe(false)
  })

  it('stay known when the crowd has gone, until clearly more are served', () => {
    const crowded = learnt(full(8, [1, 2, 4, 8, 16, 32]))
    let memory = rememberSlots(crowded, estimateSlots(crowded, report([])))
    const run = (bins: readonly ServiceBin[]) => {
      for (let second = 0; second < 2_000; second++) {
        memory = learn(memory, report(bins), 1_000)
        memory = rememberSlots(memory, estimateSlots(memory, report([])))
      }
      return places(memory)
    }
    expect(run([bin(1, 50, 10), bin(2, 50, 10)])).toEqual({ count: 8, isKnown: true })
    expect(run([1, 2, 4, 8, 12].map((n) => bin(n, 50, 10)))).toEqual({ count: 12, isKnown: false })
  })

  it('beyond them calls wait, wherever they are', () => {
    const demand = { ...report([]), inflight: 24 }
    expect(withOverload(demand, 8, 50)).toMatchObject({ queue: 16, inflight: 8, oldestWaitMs: 100 })
    expect(withOverload(demand, 32, 50)).toBe(demand)
  })

  it('are unknown until calls were seen', () => {
    expect(places(NOTHING_LEARNT)).toBeUndefined()
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
