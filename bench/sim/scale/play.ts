/** One rule against one load: the loop of report, decide, act, and the score at the end. */

import { createRandom } from '../../../src/lib/seeded-random.ts'
import { Engine } from '../engine.ts'
import { type Load, Pool, type PoolSettings } from './pool.ts'
import type { Rule } from './rules.ts'

export interface Score {
  readonly violationSeconds: number
  readonly replicaSeconds: number
  /** Changes of direction in all, and the most in any ten minutes. */
  readonly reversals: number
  readonly worstReversals: number
  /** Every change of the desired number, in milliseconds. */
  readonly changes: readonly { readonly at: number; readonly desired: number }[]
  readonly violations: readonly boolean[]
}

const TEN_MINUTES_MS = 600_000

export function play(
  load: Load,
  settings: PoolSettings,
  rule: Rule,
  options: { untilMs: number; seed: number },
): Score {
  const engine = new Engine()
  const pool = new Pool(engine, load, settings, createRandom(options.seed, 'cache'))
  const changes: { at: number; desired: number }[] = []
  let desired = settings.initial
  const turn = () => {
    engine.at(engine.now() + rule.tickMs, turn)
    const wanted = rule.desired(pool.report())
    if (wanted === desired) return
    desired = wanted
    changes.push({ at: engine.now(), desired })
    pool.scaleTo(desired)
  }
  // Nothing has been measured at the start; a rule asked then would only see an idle pool.
  engine.at(rule.tickMs, turn)
  engine.run(options.untilMs)
  const violations = pool.violations()
  const turns = reversalsOf(settings.initial, changes)
  return {
    violationSeconds: violations.filter(Boolean).length,
    replicaSeconds: pool.replicaSeconds(),
    reversals: turns.length,
    worstReversals: mostWithin(turns, TEN_MINUTES_MS),
    changes,
    violations,
  }
}

/** When the direction of the changes turned. */
export function reversalsOf(initial: number, changes: readonly { at: number; desired: number }[]): number[] {
  const turns: number[] = []
  let before = initial
  let direction = 0
  for (const { at, desired } of changes) {
    const next = Math.sign(desired - before)
    if (direction !== 0 && next !== direction) turns.push(at)
    direction = next
    before = desired
  }
  return turns
}

/** The most of `instants`, rising, that lie in any stretch of `ms`. */
export function mostWithin(instants: readonly number[], ms: number): number {
  let most = 0
  let first = 0
  instants.forEach((at, i) => {
    while ((instants[first] ?? at) < at - ms) first++
    most = Math.max(most, i - first + 1)
  })
  return most
}
