import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Timer, timer, Wheel } from '../../../src/lib/wheel.ts'
import { FakeClock } from '../../support/fake-clock.ts'

describe('a timing wheel', () => {
  it('fires each timer once, never early and at most two ticks late, however they are set and unset', () => {
    const acts = fc.array(
      fc.record({
        which: fc.nat(5),
        act: fc.constantFrom('arm' as const, 'arm' as const, 'disarm' as const),
        ms: fc.nat(40_000),
        pass: fc.nat(15_000),
      }),
      { maxLength: 30 },
    )
    fc.assert(
      fc.property(acts, (acts) => {
        const clock = new FakeClock()
        const wheel = new Wheel(clock, 10)
        const due = new Map<number, number>()
        const timers: Timer[] = Array.from({ length: 6 }, (_, i) =>
          timer(() => {
            const late = clock.now() - (due.get(i) ?? Number.NaN)
            expect(late).toBeGreaterThanOrEqual(0)
            expect(late).toBeLessThanOrEqual(20)
            due.delete(i)
          }),
        )
        for (const { which, act, ms, pass } of acts) {
          const one = timers[which] as Timer
          if (act === 'arm') {
            wheel.arm(one, ms)
            due.set(which, clock.now() + ms)
          } else {
            wheel.disarm(one)
            due.delete(which)
          }
          clock.advance(pass)
          for (const at of due.values()) expect(at).toBeGreaterThan(clock.now() - 20)
        }
        clock.advance(60_000)
        expect(due.size).toBe(0)
        expect(wheel.size).toBe(0)
        expect(clock.pending).toBe(0)
      }),
      { numRuns: 500 },
    )
  })

  it('may be armed and disarmed from a timer that fires', () => {
    const clock = new FakeClock()
    const wheel = new Wheel(clock, 10)
    const fired: string[] = []
    const other = timer(() => fired.push('other'))
    const again: Timer = timer(() => {
      fired.push('again')
      wheel.disarm(other)
      if (fired.length < 3) wheel.arm(again, 100)
    })
    wheel.arm(other, 55)
    wheel.arm(again, 54)
    clock.advance(1000)
    // Both were due in one tick; whichever came first decides whether the other still runs.
    expect(fired.filter((name) => name === 'again').length).toBeGreaterThanOrEqual(2)
    expect(wheel.size).toBe(0)
  })

  it('holds nothing once closed', () => {
    const clock = new FakeClock()
    const wheel = new Wheel(clock)
    wheel.arm(
      timer(() => expect.unreachable()),
      50,
    )
    wheel.close()
    expect(clock.pending).toBe(0)
    clock.advance(1000)
  })
})
