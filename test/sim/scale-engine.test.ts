// The engine, arrivals and service times under the simulations: right order, right rates, same seed same run.
import { describe, expect, it } from 'vitest'
import {
  bursts,
  constant,
  diurnal,
  flashCrowd,
  merged,
  modulated,
  paced,
  poisson,
  record,
  square,
  steps,
  trace,
} from '../../bench/sim/arrivals.ts'
import { Engine } from '../../bench/sim/engine.ts'
import {
  antagonist,
  batchCurve,
  bimodal,
  coldStart,
  exponentialService,
  lognormal,
} from '../../bench/sim/service.ts'
import { createRandom } from '../../src/lib/seeded-random.ts'

describe('the engine', () => {
  it('runs events by time, and those of one instant in the order they were scheduled', () => {
    const engine = new Engine()
    const seen: number[] = []
    const random = createRandom(7)
    const times = Array.from({ length: 500 }, () => Math.floor(random() * 50))
    times.forEach((time, i) => engine.at(time, (n) => seen.push(n), i))
    engine.run(100)
    const wanted = times.map((time, i) => ({ time, i })).sort((a, b) => a.time - b.time || a.i - b.i)
    expect(seen).toEqual(wanted.map(({ i }) => i))
    expect(engine.pending).toBe(0)
    expect(engine.now()).toBe(100)
  })

  it('is a clock: a cancelled wait never runs, an event in the past runs now, not before', () => {
    const engine = new Engine(1_000)
    const seen: string[] = []
    engine.after(10, () => {
      seen.push(`a${engine.now()}`)
      engine.at(3, () => seen.push(`late${engine.now()}`))
    })
    const cancel = engine.after(20, () => seen.push('never'))
    cancel()
    engine.run(30)
    expect(seen).toEqual(['a10', 'late10'])
    expect(engine.wall()).toBe(1_030)
  })

  it('repeats until told to stop', () => {
    const engine = new Engine()
    const seen: number[] = []
    engine.every(100, () => {
      seen.push(engine.now())
      return seen.length < 4
    })
    engine.run(10_000)
    expect(seen).toEqual([0, 100, 200, 300])
  })
})

describe('arrivals', () => {
  it('yield the same instants for the same seed and others for another', () => {
    const draw = (seed: number) => record(poisson(constant(50), 50, createRandom(seed, 'arrivals')), 5_000)
    expect(draw(1)).toEqual(draw(1))
    expect(draw(1)).not.toEqual(draw(2))
  })

  it.each([
    ['constant', constant(80), 80, 80],
    [
      'steps',
      steps([
        { fromMs: 0, perSecond: 20 },
        { fromMs: 50_000, perSecond: 180 },
      ]),
      180,
      100,
    ],
    ['diurnal', diurnal({ low: 20, high: 180, dayMs: 50_000 }), 180, 100],
    ['square', square({ low: 20, high: 180, periodMs: 10_000 }), 180, 100],
    [
      'flash crowd',
      flashCrowd({ base: 50, peak: 150, startMs: 0, riseMs: 0, holdMs: 50_000, halfLifeMs: 1 }),
      150,
      100,
    ],
  ])('of a Poisson process keep the mean rate: %s', (_name, rate, ceiling, mean) => {
    const count = record(poisson(rate, ceiling, createRandom(3)), 100_000).length
    expect(Math.abs(count - mean * 100)).toBeLessThan(4 * Math.sqrt(mean * 100))
  })

  it('refuse a rate above its ceiling', () => {
    expect(() => poisson(constant(5), 4, createRandom(1))(0)).toThrow(/exceeds its ceiling 4/)
  })

  it('merge a paced stream with bursts, in order', () => {
    const all = record(merged([paced(10), bursts({ count: 3, periodMs: 1000 })]), 2_050)
    expect([...all].filter((at) => at === 1000)).toHaveLength(4)
    expect(all).toHaveLength(20 + 6)
    expect([...all]).toEqual([...all].sort((a, b) => a - b))
  })

  it('of a modulated process are burstier than Poisson at the same mean', () => {
    const spread = (times: Float64Array) => {
      const counts = new Array<number>(200).fill(0)
      for (const at of times) counts[Math.floor(at / 1000)] = (counts[Math.floor(at / 1000)] ?? 0) + 1
      const mean = counts.reduce((a, b) => a + b, 0) / counts.length
      return counts.reduce((sum, n) => sum + (n - mean) ** 2, 0) / counts.length / mean
    }
    const busy = { calm: 20, busy: 180, calmMs: 5_000, busyMs: 5_000 }
    expect(spread(record(modulated(busy, createRandom(5)), 200_000))).toBeGreaterThan(10)
    expect(spread(record(poisson(constant(100), 100, createRandom(5)), 200_000))).toBeLessThan(2)
  })

  it('of a trace are the recorded instants and then none', () => {
    expect([...record(trace([5, 7, 7, 40]), 30)]).toEqual([5, 7, 7])
    expect(trace([])(0)).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('service times', () => {
  const moments = (draw: () => number) => {
    let sum = 0
    let squares = 0
    for (let i = 0; i < 200_000; i++) {
      const x = draw()
      sum += x
      squares += x * x
    }
    const mean = sum / 200_000
    return { mean, scv: squares / 200_000 / mean / mean - 1 }
  }

  it.each([
    ['exponential', exponentialService(50, createRandom(2)), 50, 1],
    ['lognormal', lognormal({ meanMs: 40, scv: 0.5 }, createRandom(2)), 40, 0.5],
    ['bimodal', bimodal({ fastMs: 10, slowMs: 110, share: 0.1 }, createRandom(2)), 20, 2.25],
  ])('keep mean and variability: %s', (_name, draw, mean, scv) => {
    const seen = moments(draw)
    expect(seen.mean / mean).toBeCloseTo(1, 1)
    expect(Math.abs(seen.scv - scv)).toBeLessThan(scv * 0.1)
  })

  it('of a batch grow by a fixed cost and one a row', () => {
    expect([1, 8].map(batchCurve({ alphaMs: 6, betaMs: 0.9 }))).toEqual([6.9, 13.2])
  })

  it('are disturbed by a neighbour for its share of the time, and by a cold start until it is warm', () => {
    const factor = antagonist({ calmMs: 3_000, slowMs: 1_000, slowdown: 4 }, createRandom(4))
    let slow = 0
    for (let now = 0; now < 1e6; now += 100) if (factor(now) === 4) slow++
    expect(slow / 1e4).toBeGreaterThan(0.2)
    expect(slow / 1e4).toBeLessThan(0.3)
    expect([0, 500, 1_000, 5_000].map(coldStart({ factor: 5, warmUpMs: 1_000 }))).toEqual([5, 3, 1, 1])
  })
})
