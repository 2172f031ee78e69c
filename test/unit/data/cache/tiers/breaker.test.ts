import { describe, expect, it } from 'vitest'
import { Breaker } from '../../../../../src/data/cache/tiers/breaker.ts'
import { FakeClock } from '../../../../support/fake-clock.ts'

function setup(random = 0.5) {
  const clock = new FakeClock()
  const holds: number[] = []
  const onChange = (state: string, _: string, holdMs: number) => {
    if (state === 'open') holds.push(Math.round(holdMs))
  }
  return { clock, holds, breaker: new Breaker({ clock, random: () => random, onChange }) }
}

const trip = (breaker: Breaker) => {
  for (let n = 0; n < 5; n++) breaker.record(breaker.admit() ?? 0, 'error')
}

describe('the breaker', () => {
  it('does not take the outcome of an operation from before for that of the probe', () => {
    const { clock, breaker } = setup()
    const early = breaker.admit() ?? 0
    trip(breaker)
    clock.advance(2_000)
    const probe = breaker.admit() ?? 0
    breaker.record(early, 'ok')
    expect(breaker.state).toBe('probing')
    breaker.record(probe, 'ok')
    expect(breaker.state).toBe('closed')
  })

  it.each([
    [0, 1_600],
    [1 - 1e-9, 2_400],
  ])('holds a fifth more or less, so that gateways do not probe together (random %d)', (random, holdMs) => {
    const { breaker, holds } = setup(random)
    trip(breaker)
    expect(holds).toEqual([holdMs])
  })

  it('holds longer when it fails again soon after recovering, and starts anew after ten good seconds', () => {
    const { clock, breaker, holds } = setup()
    const recover = () => {
      clock.advance(60_000)
      breaker.record(breaker.admit() ?? 0, 'ok')
    }
    trip(breaker)
    recover()
    trip(breaker)
    recover()
    clock.advance(10_000)
    trip(breaker)
    expect(holds).toEqual([2_000, 4_000, 2_000])
  })
})
