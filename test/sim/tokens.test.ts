import { describe, expect, it } from 'vitest'
import { byRequests, byTokens } from '../../bench/sim/tokens/rules.ts'
import { MAX_REPLICAS, type Phase, playTokens, tokenLoad, WORLD } from '../../bench/sim/tokens/scenario.ts'

/** Short answers, then long ones at the same rate, then many short ones. */
const phases: readonly Phase[] = [
  { seconds: 200, perSecond: 8, prompt: 300, output: 30 },
  { seconds: 350, perSecond: 8, prompt: 300, output: 300 },
  { seconds: 900, perSecond: 16, prompt: 300, output: 30 },
]
const world = { ...WORLD, startMs: 20_000 }
const KEPT = 0.05

describe('a pool that generates tokens, in simulation', { timeout: 120_000 }, () => {
  it('keeps both promises with far fewer replica-seconds by tokens than by requests', () => {
    const load = tokenLoad(phases, 1)
    const own = playTokens(load, byTokens(world, MAX_REPLICAS), world)
    expect(own.lateFirst).toBeLessThan(KEPT)
    expect(own.lateBetween).toBeLessThan(KEPT)
    const playRequests = (perReplica: number) => {
      const score = playTokens(load, byRequests(perReplica, MAX_REPLICAS), world)
      return { ...score, isKept: score.lateFirst < KEPT && score.lateBetween < KEPT }
    }
    // Known in hindsight: the most requests a replica with which they are kept are four.
    expect(playRequests(5).isKept).toBe(false)
    const theirs = playRequests(4)
    expect(theirs.isKept).toBe(true)
    expect(own.replicaSeconds).toBeLessThan(0.8 * theirs.replicaSeconds)
  })

  it('says what it goes by', () => {
    const said = new Set<string>()
    playTokens(tokenLoad(phases.slice(0, 2), 2), byTokens(world, MAX_REPLICAS), world, ({ decision }) => {
      if (decision) said.add(decision.sentence)
    })
    const words =
      /^\d+ → \d+ replicas: the load rose; [\d.]+ generations\/s of \d+ tokens keep \d+ places busy and need \d+; a replica has (?:at least )?\d+, at \d+ ms a token: \d+ tokens\/s\.$/
    expect([...said].some((sentence) => words.test(sentence))).toBe(true)
  })
})
