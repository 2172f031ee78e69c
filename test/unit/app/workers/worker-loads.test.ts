import { describe, expect, it } from 'vitest'
import { WorkerLoads } from '../../../../src/app/workers/worker-loads.ts'
import { DemandMeter } from '../../../../src/data/measure/demand.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const ALL = 'p'

/** Two meters whose tenths of a second begin at different instants, read like those of workers. */
function crew(apartMs: number) {
  const clock = new FakeClock()
  const loads = new WorkerLoads(clock)
  const first = new DemandMeter(clock)
  clock.advance(apartMs)
  const meters = [first, new DemandMeter(clock)] as const
  const tell = (...workers: number[]) => {
    for (const worker of workers) {
      const meter = meters[worker] as DemandMeter
      loads.add(worker, [{ pool: ALL, level: meter.level, report: meter.read() }])
    }
  }
  return { clock, loads, meters, tell }
}

describe('the load of several workers', () => {
  it.each([0, 30, 60])('adds up, call by call, however far apart they began: %d ms', (apartMs) => {
    const { clock, loads, meters, tell } = crew(apartMs)
    let offered = 0
    let answered = 0
    let buckets = 0
    for (let tick = 0; tick < 50; tick++) {
      for (const [worker, meter] of meters.entries()) {
        for (let call = 0; call <= worker; call++) {
          meter.offered()
          meter.enter()
          meter.leave(10, 1)
        }
        meter.answered(worker === 1)
      }
      clock.advance(100)
      tell(0, 1)
      const report = loads.read(ALL)
      buckets += report.buckets.length
      for (const bucket of report.buckets) {
        offered += bucket.offered
        answered += bucket.answered
      }
    }
    expect(buckets).toBeGreaterThanOrEqual(48)
    expect(buckets).toBeLessThanOrEqual(52)
    // What the last tenth of a second brought may still be on its way.
    expect(offered).toBeGreaterThan(140)
    expect(offered).toBeLessThanOrEqual(150)
    expect(answered).toBeGreaterThan(92)
  })

  it('sums what waits and runs, and forgets that of a worker that has ended', () => {
    const { clock, loads, meters, tell } = crew(0)
    meters[0].enter()
    meters[1].enter()
    meters[1].wait()
    clock.advance(100)
    tell(0, 1)
    expect(loads.level(ALL)).toBe(3)
    expect(loads.read(ALL)).toMatchObject({ queue: 1, inflight: 2, oldestWaitMs: 100 })
    loads.forget(1)
    expect(loads.level(ALL)).toBe(1)
    expect(loads.read(ALL)).toMatchObject({ queue: 0, inflight: 1 })
  })

  it('joins service times by how many were running', () => {
    const { clock, loads, meters, tell } = crew(0)
    for (const meter of meters) {
      meter.enter()
      meter.leave(20, 3)
    }
    clock.advance(100)
    tell(0, 1)
    const { service } = loads.read(ALL)
    expect(service).toMatchObject([{ inflight: 3, count: 2, sumMs: 40, sumSquaresMs: 800 }])
    expect(Array.from(service[0]?.histogram ?? []).reduce((a, b) => a + b, 0)).toBe(2)
    expect(loads.read(ALL).service).toEqual([])
  })

  it('does not wait for a worker that says nothing any more', () => {
    const { clock, loads, tell } = crew(0)
    clock.advance(100)
    tell(0, 1)
    loads.read(ALL)
    for (let tick = 0; tick < 20; tick++) {
      clock.advance(100)
      tell(0)
    }
    expect(loads.read(ALL).buckets.length).toBe(20)
  })
})
