/**
 * A pool of four on real processes, with something wrong. Only what holds on any machine is asked for here: counts, and
 * times that are far apart. The latencies beside nginx and HAProxy are measured by bench/pool.ts.
 */
import { describe, expect, it } from 'vitest'
import {
  allFailing,
  killed,
  rollingRestart,
  SLOWLY_FAILING,
  STEADY,
  type Steady,
  steady,
  throughput,
} from '../../bench/pool/scenarios.ts'

const scenario = (name: Steady['name']): Steady => {
  const found = STEADY.find((one) => one.name === name)
  if (!found) throw new Error(`there is no scenario "${name}"`)
  return found
}
const LOAD = { rate: 150, durationMs: 4_000 }

describe('a pool of four', () => {
  it('leaves a backend twenty times slower nearly alone, and nobody fails', async () => {
    const { failed, fourthPercent } = await steady('infergate', scenario('slow backend'), LOAD)
    expect(failed).toBe(0)
    // Least connections gives it over three.
    expect(fourthPercent).toBeLessThan(2)
  })

  it('answers far more calls with a slow fourth than callers who take turns would get', async () => {
    const { perSecond, failed } = await throughput('infergate', scenario('slow backend'), 3_000)
    expect(failed).toBe(0)
    // In turns all would soon wait at the slow one, whose seven a second are then a quarter of everything.
    expect(perSecond).toBeGreaterThan(150)
  })

  it('gives a backend that fails in a millisecond less than a hundredth of the calls, and hides it', async () => {
    const { failed, fourthPercent } = await steady('infergate', scenario('fast failures'), LOAD)
    expect(failed).toBe(0)
    expect(fourthPercent).toBeLessThan(1)
  })

  it('loses one to SIGKILL without one failed call', async () => {
    const { failed, calls } = await killed('infergate', LOAD)
    expect(calls).toBe(600)
    expect(failed).toBe(0)
  })

  it('is restarted one by one without one failed call', async () => {
    const { failed, calls } = await rollingRestart({ rate: 100, pauseMs: 300 })
    expect(calls).toBeGreaterThan(100)
    expect(failed).toBe(0)
  })

  it('adds a quarter of load at most while all fail, and is well as soon as they are', async () => {
    const { amplification, recoveryMs } = await allFailing('infergate', { rate: 250, failMs: 3_000 })
    expect(amplification).toBeLessThanOrEqual(1.25)
    expect(recoveryMs).toBeLessThan(2_000)
  })

  it('adds no more where 24 callers wait for answers that fail slowly', async () => {
    const { amplification, recoveryMs } = await allFailing('infergate', {
      callers: 24,
      failMs: 3_000,
      failing: SLOWLY_FAILING,
    })
    expect(amplification).toBeLessThanOrEqual(1.25)
    expect(recoveryMs).toBeLessThan(2_000)
  })
})
