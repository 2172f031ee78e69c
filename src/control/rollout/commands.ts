/** What operators do with a rollout. Pure; each gives the rollout as it is then, or says why not. */
import { randomUUID } from 'node:crypto'
import { goBack, judgeFor, said } from './advance.ts'
import { percent } from './plan.ts'
import { isOver, type Rollout, type RolloutOptions } from './state.ts'

/** The split of a route, in force. */
export interface Split {
  readonly pools: readonly { readonly pool: string; readonly weight: number }[]
  /** The split of the YAML, as text. */
  readonly written: string
}

export interface StartRequest {
  readonly route: string
  readonly to: string
  /** The pool that calls are taken from; left out: the one with the largest weight. */
  readonly from?: string | undefined
  readonly options: RolloutOptions
}

export interface RolloutRefusal {
  readonly refused: string
}

/** @param now milliseconds since the Unix epoch */
export function startRollout(request: StartRequest, split: Split, now: number): Rollout | RolloutRefusal {
  const { route, to, options } = request
  const { pools, written } = split
  const target = pools.find(({ pool }) => pool === to)
  if (!target) return { refused: `the split of "${route}" has no pool "${to}"; it has ${names(pools)}` }
  const others = pools.filter(({ pool, weight }) => pool !== to && weight > 0)
  const [largest] = [...others].sort((one, other) => other.weight - one.weight)
  const source = request.from === undefined ? largest : pools.find(({ pool }) => pool === request.from)
  if (!source) return { refused: noSource(request, pools) }
  if (source.pool === to)
    return { refused: `"${to}" is the pool that the calls are to go to: name another one in from` }
  const weight = source.weight + target.weight
  if (source.weight === 0)
    return { refused: `"${source.pool}" has no calls that could be moved: its weight is 0` }
  const share = (100 * target.weight) / weight
  const rollout: Rollout = {
    id: randomUUID(),
    route,
    from: source.pool,
    to,
    options,
    phase: 'measuring',
    isPaused: false,
    share,
    shareBefore: share,
    weight,
    written,
    step: -1,
    stepAt: now,
    movedAt: 0,
    startedAt: now,
    sampled: 0,
    compared: 0,
    differed: 0,
    sample: options.sample ?? 0,
    comparisons: 0,
    stepTimeoutMs: options.stepTimeoutMs ?? 0,
    rates: { calls: 0, misses: 0 },
    coverage: 0,
    warmPerSecond: 0,
    judged: judgeFor(options.steps),
    sentence: '',
    history: [],
  }
  return said(
    rollout,
    now,
    `${to} is to take the calls of ${route} from ${source.pool}, in steps of ${options.steps.map(percent).join(', ')}`,
  )
}

export function pause(rollout: Rollout, now: number): Rollout | RolloutRefusal {
  if (isOver(rollout)) return { refused: `the rollout of "${rollout.route}" is over: ${rollout.sentence}` }
  if (rollout.isPaused) return rollout
  const has = `${rollout.to} keeps ${percent(rollout.share)} of the calls`
  return said({ ...rollout, isPaused: true }, now, `paused by an operator: ${has}, and is still judged`)
}

export function resume(rollout: Rollout, now: number): Rollout | RolloutRefusal {
  if (isOver(rollout)) return { refused: `the rollout of "${rollout.route}" is over: ${rollout.sentence}` }
  return rollout.isPaused ? said({ ...rollout, isPaused: false }, now, 'an operator has it go on') : rollout
}

/** All weight to where it was before, also after the rollout is done. */
export function rollBack(rollout: Rollout, now: number): Rollout | RolloutRefusal {
  if (rollout.phase === 'back') return rollout
  return goBack(rollout, { now, reason: 'operator', why: 'an operator asked for it' })
}

/** The YAML says another split: its weights are in force. */
export function overruled(rollout: Rollout, now: number): Rollout {
  const sentence = `the YAML says another split for ${rollout.route}: its weights are in force`
  return said({ ...rollout, phase: 'back', reason: 'settings' }, now, sentence)
}

function noSource({ route, to, from }: StartRequest, pools: Split['pools']): string {
  if (from !== undefined) return `the split of "${route}" has no pool "${from}"; it has ${names(pools)}`
  return `"${to}" has all calls of "${route}" already`
}

function names(pools: Split['pools']): string {
  return pools.map(({ pool }) => pool).join(', ')
}
