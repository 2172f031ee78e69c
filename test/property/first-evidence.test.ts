/**
 * A model's first moments at a gateway: whenever its calls come, whenever its backends say what they have, and whatever the
 * shared tier does meanwhile, a herd of calls has one token, and none waits longer than a second.
 */
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { Deployments } from '../../src/data/key/deployment.ts'
import type { FactStore } from '../../src/data/key/epochs.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FakeTier, type TierFault } from '../support/fake-tier.ts'

const POOL = 'main'
const MODEL = 'herd'
const target = { verb: 'predict', model: MODEL, prediction: true }
/** What a call waits at most for what its backends have. */
const BOUND_MS = 1_000
const STEP_MS = 5

const arbSteps = (maxMs: number) => fc.integer({ min: 0, max: maxMs / STEP_MS }).map((n) => n * STEP_MS)
/** One that is slow, but not out of reach, is waited for as long as its few round trips take here. */
const arbFault = fc.constantFrom<TierFault>('none', 'error', 'hang', { delayMs: 5 })
const arbMoments = fc.record({
  fault: arbFault,
  /** What another gateway has said of the model before. */
  theirs: fc.constantFrom(undefined, 'same', 'other'),
  /** Milliseconds after the first call. */
  calls: fc.array(arbSteps(1_500), { minLength: 1, maxLength: 12 }),
  /** As the calls; undefined: never. */
  heardAt: fc.option(arbSteps(1_500), { nil: undefined }),
})

interface Told {
  readonly at: number
  readonly waitedMs: number
  readonly value: string
}

it('a herd has one token, that of the evidence where there is any, and nobody waits for long', async () => {
  await fc.assert(
    fc.asyncProperty(arbMoments, async ({ fault, theirs, calls, heardAt }) => {
      const clock = new FakeClock()
      const tier = new FakeTier({ clock })
      if (theirs) await otherGateway(clock, tier, theirs === 'same' ? '1@' : '2@')
      tier.fault = () => fault
      const deployments = new Deployments({ shared: factsOf(tier), clock, log: silentLog, changed: () => {} })
      const began = clock.now()
      const told: Told[] = []
      const ask = async (at: number) => {
        const { value } = deployments.peek(POOL, target) ?? (await deployments.load(POOL, target))
        told.push({ at, waitedMs: clock.now() - began - at, value })
      }
      const due = [0, ...calls]
      for (let at = 0; at <= 3_000; at += STEP_MS) {
        if (at === heardAt) deployments.learn({ pool: POOL, model: MODEL, evidence: '1@', versions: ['1'] })
        for (const call of due) if (call === at) void ask(at)
        await settled()
        clock.advance(STEP_MS)
        await settled()
      }
      deployments.stop()

      expect(told).toHaveLength(due.length)
      // The tier has its own few milliseconds, before and after.
      expect(Math.max(...told.map(({ waitedMs }) => waitedMs))).toBeLessThanOrEqual(BOUND_MS + 50)
      const isInTime = heardAt === undefined || heardAt < BOUND_MS
      if (isInTime) {
        expect(new Set(told.map(({ value }) => value)).size).toBe(1)
        return
      }
      // What was asked before anybody knew may be another deployment's: it is given to nobody who knows.
      const [last] = told.filter(({ at }) => at > heardAt + 50)
      const early = told.filter(({ at, waitedMs }) => at + waitedMs < heardAt)
      if (last && theirs !== 'same') expect(early.map(({ value }) => value)).not.toContain(last.value)
    }),
    { numRuns: 200 },
  )
})

/** Leaves in the tier what it knows, and is gone. */
async function otherGateway(clock: FakeClock, tier: FakeTier, evidence: string): Promise<void> {
  const other = new Deployments({ shared: factsOf(tier), clock, log: silentLog, changed: () => {} })
  other.learn({ pool: POOL, model: MODEL, evidence })
  await other.load(POOL, target)
  expect(tier.facts_.size).toBe(1)
}

/** As the guard around a tier: a failure is undefined or false. */
function factsOf(tier: FakeTier): FactStore {
  return {
    claim: (name, value) => tier.claim(name, value).catch(() => undefined),
    facts: (names) => tier.facts(names).catch(() => undefined),
    publish: (name, value) =>
      tier.publish(name, value).then(
        () => true,
        () => false,
      ),
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await turn()
}
