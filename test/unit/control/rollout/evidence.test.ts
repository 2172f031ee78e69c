import { describe, expect, it } from 'vitest'
import {
  addBlock,
  addCounts,
  type Block,
  logEvidence,
  NO_EVIDENCE,
  startAgain,
} from '../../../../src/control/rollout/evidence.ts'

/** The probability of so many failures. */
function chance(of: number, bad: number, rate: number): number {
  let choose = 1
  for (let i = 0; i < bad; i++) choose = (choose * (of - i)) / (i + 1)
  return choose * rate ** bad * (1 - rate) ** (of - bad)
}

/** The exact expectation of the evidence after a block, over all of its outcomes. */
function expectation(
  { old, fresh, margin }: { old: number; fresh: number; margin: number },
  before?: Block,
): number {
  const options = { margin, starts: 2 }
  const [oldCalls, newCalls] = [6, 4]
  const primed = startAgain(before ? addBlock(NO_EVIDENCE, before, options) : NO_EVIDENCE, options)
  let sum = 0
  for (let oldBad = 0; oldBad <= oldCalls; oldBad++)
    for (let newBad = 0; newBad <= newCalls; newBad++) {
      const after = addBlock(primed, { oldCalls, oldBad, newCalls, newBad }, options)
      sum +=
        chance(oldCalls, oldBad, old) *
        chance(newCalls, newBad, fresh) *
        Math.exp(logEvidence(after, options))
    }
  return sum
}

describe('evidence against a new pool', () => {
  const histories: (Block | undefined)[] = [
    undefined,
    { oldCalls: 100, oldBad: 0, newCalls: 0, newBad: 0 },
    { oldCalls: 100, oldBad: 30, newCalls: 10, newBad: 9 },
  ]
  for (const before of histories)
    for (const margin of [0, 0.005, 0.1])
      for (const old of [0.0001, 0.01, 0.2, 0.7])
        it(`is 1 at most in expectation: ${old} fail, ${margin} more are allowed, after ${JSON.stringify(before)}`, () => {
          expect(expectation({ old, fresh: old + margin, margin }, before)).toBeLessThanOrEqual(1 + 1e-9)
          expect(expectation({ old, fresh: old / 2, margin }, before)).toBeLessThanOrEqual(1 + 1e-9)
        })

  it('grows where the new one fails more often, and a later start finds what only then turned bad', () => {
    const options = { margin: 0, starts: 2 }
    const good = { oldCalls: 100, oldBad: 1, newCalls: 20, newBad: 0 }
    const bad = { oldCalls: 100, oldBad: 1, newCalls: 20, newBad: 5 }
    let evidence = startAgain(NO_EVIDENCE, options)
    for (let i = 0; i < 100; i++) evidence = addBlock(evidence, good, options)
    expect(logEvidence(evidence, options)).toBeLessThanOrEqual(0)
    evidence = startAgain(evidence, options)
    for (let i = 0; i < 3; i++) evidence = addBlock(evidence, bad, options)
    expect(logEvidence(evidence, options)).toBeGreaterThan(Math.log(400))
  })

  it('of one pool alone says nothing', () => {
    const options = { margin: 0, starts: 1 }
    const evidence = addBlock(
      startAgain(NO_EVIDENCE, options),
      { oldCalls: 0, oldBad: 0, newCalls: 50, newBad: 50 },
      options,
    )
    expect(logEvidence(evidence, options)).toBeCloseTo(0)
    expect(evidence.seen.newBad).toBe(50)
  })

  it('against a given rate has an expectation of at most 1 as well', () => {
    const options = { margin: 0.01, starts: 1 }
    for (const rate of [0, 0.005, 0.01]) {
      let sum = 0
      for (let bad = 0; bad <= 12; bad++) {
        const after = addCounts(startAgain(NO_EVIDENCE, options), { calls: 12, bad }, options)
        sum += chance(12, bad, rate) * Math.exp(logEvidence(after, options))
      }
      expect(sum).toBeLessThanOrEqual(1 + 1e-9)
    }
  })
})
