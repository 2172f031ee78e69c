import { describe, expect, it } from 'vitest'
import { TypicalCosts } from '../../../../src/data/measure/typical-cost.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

describe('the typical cost of a route', () => {
  it('leaves costs within sixteen times of it as they are', () => {
    const costs = new TypicalCosts(new FakeClock())
    const route = {}
    const each = [20, 5, 80, 20, 100, 4]
    expect(each.map((ms) => costs.bounded(route, ms))).toEqual(each)
  })

  it('bounds the costs of a minute in which a backend is a thousand times as slow', () => {
    const clock = new FakeClock()
    const costs = new TypicalCosts(clock)
    const route = {}
    const run = (seconds: number, ms: number) => {
      const counted: number[] = []
      for (let n = 0; n < seconds * 10; n++) {
        clock.advance(100)
        counted.push(costs.bounded(route, ms))
      }
      return counted
    }
    run(600, 2)
    const slow = run(60, 2_000)
    expect(Math.max(...slow)).toBeLessThan(2 * 2 * 16)
    expect(run(60, 2)).toEqual(Array(600).fill(2))
    // What stays so becomes usual.
    expect(run(3_600, 2_000).at(-1)).toBe(2_000)
  })

  it('knows each route by itself', () => {
    const costs = new TypicalCosts(new FakeClock())
    const [short, long] = [{}, {}]
    for (let n = 0; n < 20; n++) costs.bounded(short, 2)
    expect(costs.bounded(long, 2_000)).toBe(2_000)
    expect(costs.bounded(short, 2_000)).toBeLessThan(100)
  })

  it('takes a measured time of nothing', () => {
    const costs = new TypicalCosts(new FakeClock())
    const route = {}
    expect(costs.bounded(route, 0)).toBe(0)
    expect(costs.bounded(route, 1)).toBeLessThan(1)
  })
})
