import { expect, it } from 'vitest'
import type { Clock } from '../../../src/lib/clock.ts'
import { EventLoopLag } from '../../../src/lib/event-loop-lag.ts'

/** A clock whose timers come when the test says, and not when they are due. */
function late() {
  let now = 0
  let timer: (() => void) | undefined
  const clock: Clock = {
    now: () => now,
    wall: () => now,
    after: (_, run) => {
      timer = run
      return () => {
        timer = undefined
      }
    },
  }
  const fire = () => timer?.()
  return { clock, fire, at: (ms: number) => void (now = ms), isPending: () => timer !== undefined }
}

it('a thread that runs on time has no stalls', () => {
  const { clock, fire, at } = late()
  const eventLoopLag = new EventLoopLag(clock)
  eventLoopLag.start()
  for (let ms = 21; ms < 500; ms += 21) {
    at(ms)
    fire()
  }
  expect(eventLoopLag.total()).toBe(0)
})

it('a pause counts at once, also before the late timer has come, and only once', () => {
  const { clock, fire, at } = late()
  const eventLoopLag = new EventLoopLag(clock)
  eventLoopLag.start()
  at(225)
  expect(eventLoopLag.total()).toBe(200)
  fire()
  expect(eventLoopLag.total()).toBe(200)
  at(240)
  expect(eventLoopLag.total()).toBe(200)
})

it('stopped, it counts no more and leaves no timer', () => {
  const { clock, at, isPending } = late()
  const eventLoopLag = new EventLoopLag(clock)
  eventLoopLag.start()
  eventLoopLag.stop()
  at(10_000)
  expect(eventLoopLag.total()).toBe(0)
  expect(isPending()).toBe(false)
})
