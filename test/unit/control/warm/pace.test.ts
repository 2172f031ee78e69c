import { expect, it } from 'vitest'
import { type PoolPressure, WarmPace } from '../../../../src/control/warm/pace.ts'

const IDLE: PoolPressure = { ready: 1, queued: 0, inflight: 0, limit: 10, latencyMs: 10 }

/** How many calls go out in so many seconds. */
function paced(rate: number, at: (second: number) => Partial<PoolPressure> = () => ({})) {
  let now = 0
  const clock = { now: () => now, wall: () => now, after: () => () => {} }
  const pace = new WarmPace({ rate, clock, pressure: () => ({ ...IDLE, ...at(Math.floor(now / 1_000)) }) })
  const run = (seconds: number) => {
    let sent = 0
    for (const until = now + seconds * 1_000; now < until; now += 1) while (pace.take() === 0) sent++
    return sent
  }
  return { pace, run }
}

it('keeps the rate, and makes up for nothing', () => {
  const { run } = paced(50)
  expect(run(10)).toBeGreaterThanOrEqual(495)
  expect(run(10)).toBeLessThanOrEqual(505)
})

it('sends nothing while calls wait, backends are nearly full, or none is there', () => {
  for (const busy of [{ queued: 1 }, { inflight: 8 }, { ready: 0 }]) {
    const { pace, run } = paced(50, (second) => (second < 5 ? busy : {}))
    expect(run(5), JSON.stringify(busy)).toBe(0)
    expect(pace.pause).toBeDefined()
    expect(run(5)).toBeGreaterThan(10)
    expect(pace.pause).toBeUndefined()
  }
})

it('sends fewer while answers take longer than they did, and comes back', () => {
  const { run } = paced(100, (second) => ({ latencyMs: second >= 5 && second < 15 ? 40 : 10 }))
  expect(run(5)).toBeGreaterThan(450)
  expect(run(10)).toBeLessThan(300)
  run(10)
  expect(run(5)).toBeGreaterThan(450)
})
