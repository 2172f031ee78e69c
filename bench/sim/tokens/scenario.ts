/** One load of generations whose length changes while their rate does not, and the other way round; and a rule played against it. */
import { createRandom } from '../../../src/lib/seeded-random.ts'
import { Engine } from '../engine.ts'
import type { TokenRule } from './rules.ts'
import { type TokenLoad, type TokenScore, World, type WorldSettings } from './world.ts'

export interface Phase {
  readonly seconds: number
  readonly perSecond: number
  readonly prompt: number
  readonly output: number
}

/** Short answers, then long ones at the same rate, then few long ones, then many short ones. */
export const PHASES: readonly Phase[] = [
  { seconds: 600, perSecond: 16, prompt: 300, output: 40 },
  { seconds: 900, perSecond: 16, prompt: 300, output: 400 },
  { seconds: 900, perSecond: 4, prompt: 300, output: 400 },
  { seconds: 900, perSecond: 32, prompt: 300, output: 40 },
]

/** About a model of 8 billion parameters on one accelerator. */
export const WORLD: WorldSettings = {
  server: { stepMs: 12, callMs: 0.7, promptTokenMs: 0.05, chunk: 1024, memory: 100_000 },
  startMs: 40_000,
  initial: 2,
  ttftMs: 300,
  itlMs: 50,
}

export const MAX_REPLICAS = 30

/** Poisson arrivals; lengths are exponential around their means. */
export function tokenLoad(phases: readonly Phase[], seed: number): TokenLoad {
  const random = createRandom(seed, 'tokens')
  const exponential = (mean: number) => -Math.log(1 - random()) * mean
  const arrivals: number[] = []
  const prompts: number[] = []
  const outputs: number[] = []
  let from = 0
  for (const { seconds, perSecond, prompt, output } of phases) {
    const until = from + seconds * 1000
    for (let at = from + exponential(1000 / perSecond); at < until; at += exponential(1000 / perSecond)) {
      arrivals.push(at)
      prompts.push(1 + Math.round(exponential(prompt)))
      outputs.push(1 + Math.round(exponential(output)))
    }
    from = until
  }
  return {
    arrivals: Float64Array.from(arrivals),
    prompts: Float64Array.from(prompts),
    outputs: Float64Array.from(outputs),
  }
}

export function playTokens(
  load: TokenLoad,
  rule: TokenRule,
  settings: WorldSettings = WORLD,
  heard: (rule: TokenRule, at: number) => void = () => {},
): TokenScore {
  const engine = new Engine()
  const world = new World(engine, load, settings)
  const end = (load.arrivals.at(-1) ?? 0) + 60_000
  const turn = () => {
    world.scaleTo(rule.desired(world.report()))
    heard(rule, engine.now())
    engine.after(1_000, turn)
  }
  engine.after(1_000, turn)
  engine.run(end)
  return world.score()
}
