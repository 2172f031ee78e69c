/** The shortest of the stories of test/chaos: every backend of a pool is replaced while calls run. */
import { expect, it } from 'vitest'
import { rollingRestart } from '../../bench/pool/scenarios.ts'

it('both backends are drained, killed and registered anew under load without one failed call', async () => {
  const { failed, calls } = await rollingRestart({ rate: 60, pauseMs: 50, count: 2 })
  expect(calls).toBeGreaterThan(30)
  expect(failed).toBe(0)
})
