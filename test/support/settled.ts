/** Moves a fake clock on, a millisecond at a time, until a promise settles; says how long that took on the clock. */
import { setImmediate as turn } from 'node:timers/promises'
import type { FakeClock } from './fake-clock.ts'

export async function settled<T>(
  clock: FakeClock,
  promise: Promise<T>,
): Promise<{ value: T; tookMs: number }> {
  const start = clock.now()
  let done = false
  const mark = () => {
    done = true
  }
  promise.then(mark, mark)
  // Two turns: one for what was put off to the next, one for what that put off.
  for (let ms = 0; ms < 10_000; ms++) {
    await turn()
    await turn()
    if (done) return { value: await promise, tookMs: clock.now() - start }
    clock.advance(1)
  }
  throw new Error('did not settle within ten seconds of the clock')
}
