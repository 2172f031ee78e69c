// What the scaler keeps under any load: its bounds, its flap budget, and one end whatever becomes of its signals.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { poisson, record, square } from '../../bench/sim/arrivals.ts'
import { mostWithin, play, reversalsOf } from '../../bench/sim/scale/play.ts'
import type { Load, PoolSettings } from '../../bench/sim/scale/pool.ts'
import { ours } from '../../bench/sim/scale/rules.ts'
import { decide, type ScaleMemory } from '../../src/control/scale/decide.ts'
import { BUCKET_MS, type Demand, SCALE_DEFAULTS, type ScaleOptions } from '../../src/control/scale/demand.ts'
import { bucketOf, HISTOGRAM_SIZE } from '../../src/lib/log-histogram.ts'
import { createRandom } from '../../src/lib/seeded-random.ts'

const OPTIONS: ScaleOptions = { ...SCALE_DEFAULTS, min: 1, max: 30, slots: 4, sloMs: 200, startMs: 5_000 }

const report = fc.record({
  gapMs: fc.oneof(fc.constant(500), fc.integer({ min: 0, max: 60_000 })),
  offered: fc.integer({ min: 0, max: 400 }),
  answered: fc.integer({ min: 0, max: 400 }),
  queue: fc.integer({ min: 0, max: 5_000 }),
  oldestWaitMs: fc.integer({ min: 0, max: 20_000 }),
  serviceMs: fc.integer({ min: 1, max: 2_000 }),
  ready: fc.integer({ min: 0, max: 60 }),
  startingMs: fc.array(fc.integer({ min: 0, max: 120_000 }), { maxLength: 5 }),
  lostAgo: fc.option(fc.integer({ min: -10_000, max: 100_000 }), { nil: undefined }),
})

function demandOf(at: number, it: typeof report extends fc.Arbitrary<infer T> ? T : never): Demand {
  const histogram = new Array<number>(HISTOGRAM_SIZE).fill(0)
  histogram[bucketOf(it.serviceMs)] = it.offered
  const sumMs = it.offered * it.serviceMs
  const bin = {
    inflight: 1 + (it.queue % 9),
    count: it.offered,
    sumMs,
    sumSquaresMs: sumMs * it.serviceMs,
    histogram,
  }
  const bucket = {
    offered: it.offered / 5,
    answered: it.answered / 5,
    concurrency: it.queue / 2,
    rise: it.queue / 3,
  }
  return {
    at,
    buckets: Array.from({ length: Math.min(50, Math.round(it.gapMs / BUCKET_MS)) }, () => bucket),
    queue: it.queue,
    inflight: it.offered,
    oldestWaitMs: it.oldestWaitMs,
    service: it.offered > 0 ? [bin] : [],
    latency: histogram,
    replicas: { ready: it.ready, startingMs: it.startingMs, slow: 0, draining: 0 },
    startsMs: it.startingMs,
    ...(it.lostAgo === undefined ? {} : { cache: { kind: 'flush', at: at - it.lostAgo, hitRatioLeft: 0.1 } }),
  }
}

/** Reports right behind each other: a full replica's calls are counted, and no time of it. */
const IN_NO_TIME = [
  { gapMs: 500, offered: 1, queue: 0, serviceMs: 1, ready: 1 },
  { gapMs: 1, offered: 20, queue: 0, serviceMs: 2, ready: 1 },
  { gapMs: 1, offered: 5, queue: 1, serviceMs: 4, ready: 0 },
].map((given) => ({ ...given, answered: 0, oldestWaitMs: 0, startingMs: [], lostAgo: undefined }))

describe('whatever is reported', () => {
  it('S1: the desired number stays within the bounds, is whole, and turns at most three times in ten minutes', () => {
    const bounds = fc.tuple(fc.integer({ min: 0, max: 10 }), fc.integer({ min: 0, max: 30 }))
    fc.assert(
      fc.property(
        bounds,
        fc.boolean(),
        fc.boolean(),
        fc.array(report, { maxLength: 120 }),
        ([min, more], isDeclared, hasSlo, reports) => {
          const { slots: _, sloMs: __, ...rest } = OPTIONS
          const options = {
            ...rest,
            min,
            max: min + Math.max(1, more),
            ...(isDeclared ? { slots: 4 } : {}),
            ...(hasSlo ? { sloMs: 200 } : {}),
          }
          let memory: ScaleMemory | undefined
          let now = 1_000
          const changes: { at: number; desired: number }[] = []
          for (const given of reports) {
            now += given.gapMs
            const decided = decide(memory, demandOf(now, given), options, now)
            memory = decided.memory
            const { desired, from, signals, sentence } = decided.decision
            expect(Number.isInteger(desired)).toBe(true)
            expect(desired).toBeGreaterThanOrEqual(options.min)
            expect(desired).toBeLessThanOrEqual(options.max)
            expect(Number.isFinite(signals.slotsNeeded) && Number.isFinite(signals.missesPerSecond)).toBe(
              true,
            )
            expect(sentence).not.toMatch(/NaN|undefined|Infinity/)
            if (desired !== from) changes.push({ at: now, desired })
          }
          const turns = reversalsOf(changes[0]?.desired ?? 0, changes)
          expect(mostWithin(turns, 600_000)).toBeLessThanOrEqual(3)
        },
      ),
      { numRuns: 60, examples: [[[0, 0], false, false, IN_NO_TIME]] },
    )
  })
})

function squareLoad(periodMs: number, high: number, seed: number, untilMs: number): Load {
  const arrivals = record(poisson(square({ low: 10, high, periodMs }), high, createRandom(seed)), untilMs)
  return { arrivals, serviceMs: new Float64Array(arrivals.length).fill(50) }
}

const POOL: PoolSettings = { slots: 4, startMs: 5_000, sloMs: 200, initial: 2 }

describe('under square waves of any period', () => {
  it('the pool turns at most three times in ten minutes', () => {
    const waves = fc.tuple(
      fc.integer({ min: 4_000, max: 900_000 }),
      fc.integer({ min: 20, max: 120 }),
      fc.nat(1_000),
    )
    fc.assert(
      fc.property(waves, ([periodMs, high, seed]) => {
        const untilMs = 25 * 60_000
        const score = play(squareLoad(periodMs, high, seed, untilMs), POOL, ours(OPTIONS, 500), {
          untilMs,
          seed,
        })
        expect(score.worstReversals).toBeLessThanOrEqual(3)
      }),
      { numRuns: 10 },
    )
  })
})

describe('replicas that do not say how many calls they bear', () => {
  /** From a tenth of what one replica can serve to `times` as much, twenty seconds after the start. */
  function step({ places, times, seed }: { places: number; times: number; seed: number }): Load {
    const one = (places * 1000) / 50
    const rate = (at: number) => (at < 20_000 ? 0.1 : times) * one
    const arrivals = record(poisson(rate, times * one, createRandom(seed)), 90_000)
    return { arrivals, serviceMs: new Float64Array(arrivals.length).fill(50) }
  }
  const { slots: _, ...UNTOLD } = OPTIONS

  function played(load: Load, pool: Partial<PoolSettings>, options: ScaleOptions) {
    const rule = ours(options, 500)
    const score = play(load, { ...POOL, initial: 1, ...pool }, rule, { untilMs: 90_000, seed: 1 })
    return { most: Math.max(1, ...score.changes.map(({ desired }) => desired)), last: rule.last?.() }
  }

  it('are found out from a step, without asking for many more than where they say it', () => {
    const steps = fc.record({
      places: fc.integer({ min: 1, max: 16 }),
      times: fc.double({ min: 1.1, max: 3, noNaN: true }),
      seed: fc.nat(1_000),
    })
    const crowdings = fc.constantFrom<'queueing' | 'sharing'>('queueing', 'sharing')
    const found = (bounds: Readonly<Record<'queueing' | 'sharing', number>>) =>
      fc.property(steps, crowdings, (it, crowding) => {
        const load = step(it)
        const { places: slots } = it
        const told = played(load, { slots }, { ...UNTOLD, slots })
        const learnt = played(load, { slots, admits: 64, crowding }, UNTOLD)
        expect(learnt.most).toBeLessThanOrEqual(Math.ceil(bounds[crowding] * told.most) + 1)
        const seen = learnt.last?.signals
        expect(seen?.slotsKnown).toBe(true)
        expect(seen?.slotsPerReplica).toBeGreaterThanOrEqual(Math.floor(slots * 0.7))
        expect(seen?.slotsPerReplica).toBeLessThanOrEqual(Math.ceil(slots * 1.3))
      })
    // What is shared is slower as soon as there is a crowd, and the promise asks for more: of 130 pools two asked for 2.4
    // and 2.5 times as many. Always the same pools keep to less, so that a change that makes these worse is seen.
    fc.assert(found({ queueing: 1.3, sharing: 2 }), { numRuns: 6, seed: 1 })
    fc.assert(found({ queueing: 1.5, sharing: 3 }), { numRuns: 6 })
  })

  it('one of eight places under 20 and then 200 calls a second becomes three, and is taken for eight', () => {
    const { most, last } = played(
      step({ places: 8, times: 1.25, seed: 1 }),
      { slots: 8, admits: 64, crowding: 'queueing' },
      UNTOLD,
    )
    expect(most).toBeLessThanOrEqual(4)
    expect(last?.desired).toBeGreaterThanOrEqual(2)
    expect(last?.signals.slotsPerReplica).toBe(8)
  })

  it('are not asked for by a load that one bears, and the sentence says that it is still being learnt', () => {
    const arrivals = record(
      poisson(() => 40, 40, createRandom(3)),
      90_000,
    )
    const load = { arrivals, serviceMs: new Float64Array(arrivals.length).fill(50) }
    const { most, last } = played(load, { slots: 32, admits: 64, crowding: 'queueing' }, UNTOLD)
    expect(most).toBe(1)
    expect(last?.sentence).toContain('how many it bears is still being learnt')
  })
})

describe('signals', () => {
  /** Carries out decisions as an unreliable network would: some lost, some doubled, some late; the present one is sent again and again. */
  function unreliable(fate: { lost: number; doubled: number; lateMs: number }, seed: number) {
    const random = createRandom(seed, 'network')
    const rule = ours(OPTIONS, 500)
    const inTransit: { due: number; desired: number }[] = []
    let carriedOut = 2
    return {
      ...rule,
      desired(demand: Demand) {
        const desired = rule.desired(demand)
        for (let copies = random() < fate.doubled ? 2 : 1; copies > 0; copies--) {
          if (random() >= fate.lost) inTransit.push({ due: demand.at + random() * fate.lateMs, desired })
        }
        while ((inTransit[0]?.due ?? Infinity) <= demand.at)
          carriedOut = inTransit.shift()?.desired ?? carriedOut
        return carriedOut
      },
    }
  }

  it('lost, doubled or late, lead to the same end', () => {
    const untilMs = 6 * 60_000
    const arrivals = record(
      poisson((at) => (at < 60_000 ? 20 : 200), 200, createRandom(5)),
      untilMs,
    )
    const load = { arrivals, serviceMs: new Float64Array(arrivals.length).fill(50) }
    const end = (fate: { lost: number; doubled: number; lateMs: number }, seed: number) =>
      play(load, POOL, unreliable(fate, seed), { untilMs, seed: 1 }).changes.at(-1)?.desired
    const reliable = end({ lost: 0, doubled: 0, lateMs: 0 }, 1)
    expect(reliable).toBe(3)
    const fates = fc.record({
      lost: fc.double({ min: 0, max: 0.9, noNaN: true }),
      doubled: fc.double({ min: 0, max: 1, noNaN: true }),
      lateMs: fc.integer({ min: 0, max: 8_000 }),
    })
    fc.assert(
      fc.property(fates, fc.nat(1_000), (fate, seed) => {
        expect(end(fate, seed)).toBe(reliable)
      }),
      { numRuns: 10 },
    )
  })
})
