/** The demand meter: nothing between two looks is missed, and hits are no demand. */
import { expect, it } from 'vitest'
import { DemandMeter } from '../../../../src/data/measure/demand.ts'
import { bucketOf } from '../../../../src/lib/log-histogram.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

it('integrates what is in flight and waiting over time, and keeps the highest instant', () => {
  const clock = new FakeClock()
  const meter = new DemandMeter(clock)
  meter.offered()
  meter.enter()
  clock.advance(50)
  meter.offered()
  const waited = meter.wait()
  clock.advance(25)
  waited()
  meter.leave(75, 1)
  clock.advance(125)
  const { buckets, at } = meter.read()
  expect(at).toBe(clock.now())
  expect(buckets).toEqual([
    { offered: 2, answered: 0, concurrency: (75 + 25) / 100, rise: 2 },
    { offered: 0, answered: 0, concurrency: 0, rise: 0 },
  ])
})

it('a call that runs over many buckets is in all of them, and is no rise in the later ones', () => {
  const clock = new FakeClock()
  const meter = new DemandMeter(clock)
  meter.enter()
  clock.advance(300)
  expect(meter.read().buckets.map(({ concurrency, rise }) => [concurrency, rise])).toEqual([
    [1, 1],
    [1, 0],
    [1, 0],
  ])
})

it('hits and followers are counted apart, and never as offered', () => {
  const clock = new FakeClock()
  const meter = new DemandMeter(clock)
  for (let i = 0; i < 5; i++) meter.answered(i < 2)
  clock.advance(100)
  const { buckets, answeredShared } = meter.read()
  expect(buckets).toEqual([{ offered: 0, answered: 5, concurrency: 0, rise: 0 }])
  expect(answeredShared).toBe(2)
})

it('service is told by the number in flight; failed calls teach nothing', () => {
  const clock = new FakeClock()
  const meter = new DemandMeter(clock)
  for (const [ms, company] of [
    [20, 1],
    [30, 1],
    [45, 2],
    [999, 0],
  ] as const) {
    meter.enter()
    meter.leave(ms, company)
  }
  const { service } = meter.read()
  expect(service).toMatchObject([
    { inflight: 1, count: 2, sumMs: 50, sumSquaresMs: 1300 },
    { inflight: 2, count: 1, sumMs: 45 },
  ])
  expect(service[1]?.histogram[bucketOf(45)]).toBe(1)
})

it('says how long the oldest call waits, and a reading takes what it gives', () => {
  const clock = new FakeClock()
  const meter = new DemandMeter(clock)
  const first = meter.wait()
  clock.advance(40)
  meter.wait()
  clock.advance(60)
  expect(meter.read()).toMatchObject({ queue: 2, oldestWaitMs: 100 })
  first()
  expect(meter.read()).toMatchObject({ queue: 1, oldestWaitMs: 60, buckets: [], service: [] })
})

it('keeps a minute at most while nobody reads', () => {
  const clock = new FakeClock()
  const meter = new DemandMeter(clock)
  meter.enter()
  clock.advance(3_600_000)
  const { buckets, at } = meter.read()
  expect(buckets).toHaveLength(600)
  expect(buckets.every(({ concurrency }) => concurrency === 1)).toBe(true)
  expect(clock.now() - at).toBeLessThan(100)
})
