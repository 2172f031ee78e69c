/** What a rollout does next, from what was seen: pure, once a second. Read this file first; phases follow each other as they stand here. */
import { beginStep, openJudge, verdict, weighIn } from './judge.ts'
import { comparisons, duration, percent, planOf, smallestSample, starts } from './plan.ts'
import {
  hitsNow,
  isOver,
  mayMove,
  nextStep,
  type Rollout,
  type RolloutPhase,
  type RolloutSeen,
  type Said,
} from './state.ts'

/** How long the route is measured before anything is done, at least and at most. */
const MEASURE_MS = { least: 5_000, most: 30_000 }
/** Calls of the old pool that are enough to begin with. */
const MEASURED_CALLS = 100
/** How long the new pool may take until it has the backends it needs. */
const BACKENDS_MS = 15 * 60_000
/** After a move, until rates show it. */
const SETTLED_MS = 10_000
/** Hits that have not come back after so long do not hold up the rollout any more. */
const HITS_MS = 10 * 60_000
/** The least move that is worth one, in percentage points. */
const LEAST_MOVE = 0.5
/** How long a step may wait for its calls, where nothing else is said: at least this, or so many times what it should take. */
const TIMEOUT = { leastMs: 30 * 60_000, times: 3 }
/** Time in which an old rate loses half of its weight, milliseconds. */
const HALF_LIFE_MS = 5_000
const MAX_HISTORY = 64

/** The rollout a moment later. The same object: nothing has changed. */
export function advance(rollout: Rollout, seen: RolloutSeen): Rollout {
  if (isOver(rollout)) return rollout
  const measured = measure(rollout, seen)
  const found = isJudged(measured.phase) ? verdict(measured.judged, measured.options.limits) : undefined
  if (found) {
    const reason = found.test === 'median' || found.test === 'tail' ? 'latency' : found.test
    return goBack(measured, { now: seen.now, reason, why: found.sentence })
  }
  if (measured.isPaused) return { ...measured, stepAt: measured.stepAt + seen.sinceMs }
  return PHASES[measured.phase](measured, seen)
}

type PhaseRule = (rollout: Rollout, seen: RolloutSeen) => Rollout

const PHASES: Readonly<Record<RolloutPhase, PhaseRule>> = {
  measuring: (rollout, seen) => {
    const { options } = rollout
    const age = seen.now - rollout.stepAt
    const { oldCalls } = rollout.judged.evidence.errors.seen
    const isEnough = age >= MEASURE_MS.least && (oldCalls >= MEASURED_CALLS || age >= MEASURE_MS.most)
    const announced = { ...rollout, warmPerSecond: options.warm ? (seen.warm?.perSecond ?? 0) : 0 }
    if (!isEnough) return waiting(announced, `looks at how ${rollout.route} is now`)
    return lackOfBackends(announced, seen) ?? afterMeasuring(announced, seen)
  },

  warming: (rollout, seen) => {
    const { warm } = seen
    const warmed = { ...rollout, coverage: warm?.coverage ?? rollout.coverage, warmPerSecond: 0 }
    if (!warm) return compareOrMove(warmed, seen, `this gateway cannot warm ${rollout.to}`)
    if (!warm.isDone) return waiting({ ...warmed, warmPerSecond: warm.perSecond }, warm.sentence)
    return compareOrMove(warmed, seen, warm.sentence)
  },

  comparing: (rollout, seen) => {
    const { sample, sampled, compared, differed, to, from } = rollout
    const differ = `${differed} of ${compared} answers differ`
    if (sampled < sample || compared < rollout.comparisons || !isHeld(rollout, seen)) {
      const has = `${to} answers beside ${from}: ${compared} of ${rollout.comparisons} calls are compared, ${differ}`
      return tooLate(rollout, seen, has)
    }
    return beginMoving(rollout, seen, `${to} has answered ${sampled} calls beside ${from}: ${differ}`)
  },

  moving: (rollout, seen) => {
    const aim = nextStep(rollout)
    if (rollout.share < aim) return moveOn(rollout, seen, aim)
    const { sampled, sample, to } = rollout
    if (sampled < sample || !isHeld(rollout, seen)) {
      const has = `${to} has ${percent(aim)} of the calls: ${Math.min(sampled, sample)} of ${sample} of its calls are judged`
      return tooLate(rollout, seen, has)
    }
    if (aim === 100) return finish(rollout, seen)
    return nextAim({ ...rollout, step: rollout.step + 1 }, seen)
  },

  done: (rollout) => rollout,
  back: (rollout) => rollout,
}

/** Takes in what was seen. The same evidence goes on through all phases. */
function measure(rollout: Rollout, { deeds, route, sinceMs }: RolloutSeen): Rollout {
  const { options, rates } = rollout
  const seconds = Math.max(0.001, sinceMs / 1000)
  const weight = rates.calls === 0 ? 1 : 1 - 0.5 ** (sinceMs / HALF_LIFE_MS)
  const mean = (before: number, count: number) => before + weight * (count / seconds - before)
  // Before it is compared, only what was asked to warm it has been answered.
  const counted = isJudged(rollout.phase) ? deeds : { ...deeds, new: NO_DEED, compared: 0, different: 0 }
  return {
    ...rollout,
    rates: { calls: mean(rates.calls, route.calls), misses: mean(rates.misses, route.misses) },
    judged: weighIn(rollout.judged, counted, options.limits),
    sampled: rollout.sampled + counted.new.calls,
    compared: rollout.compared + counted.compared,
    differed: rollout.differed + counted.different,
  }
}

const NO_DEED = { calls: 0, bad: 0, times: [] }

function isJudged(phase: RolloutPhase): boolean {
  return phase === 'comparing' || phase === 'moving'
}

function afterMeasuring(rollout: Rollout, seen: RolloutSeen): Rollout {
  const { options, rates, judged } = rollout
  const { oldCalls, oldBad } = judged.evidence.errors.seen
  const failing = oldBad / Math.max(1, oldCalls)
  const sample =
    options.sample ??
    smallestSample(failing, { ...options, isCompared: options.compare > 0 && seen.canCompare })
  const known = {
    perSecond: rates.calls,
    missesPerSecond: rates.misses,
    coverage: rollout.coverage,
    replicasFor: () => undefined,
  }
  const compared = comparisons(sample, options)
  const plan = planOf(known, {
    ...options,
    sample,
    comparisons: compared,
    mirrored: seen.canCompare ? options.compare : 0,
  })
  const longest = Math.max(0, ...plan.map(({ seconds = 0 }) => seconds))
  const measured = {
    ...rollout,
    sample,
    comparisons: compared,
    stepTimeoutMs:
      options.stepTimeoutMs ?? Math.max(TIMEOUT.leastMs, TIMEOUT.times * 1000 * longest + options.holdMs),
    hitsBefore: rates.calls > 0 ? 1 - rates.misses / rates.calls : 0,
  }
  const how = `${rollout.route} has ${rate(rates.calls)} calls a second, ${percent(100 * measured.hitsBefore)} of them hits, and each step needs ${sample} calls of ${rollout.to}`
  if (options.warm && seen.warm)
    return said(
      { ...measured, phase: 'warming', stepAt: seen.now },
      seen.now,
      `${how}. First the hot keys are asked of ${rollout.to}`,
    )
  return compareOrMove(measured, seen, how)
}

function compareOrMove(rollout: Rollout, seen: RolloutSeen, so: string): Rollout {
  if (rollout.options.compare === 0 || !seen.canCompare) return beginMoving(rollout, seen, so)
  const share = percent(100 * rollout.options.compare)
  return said(
    { ...begun(rollout, seen), phase: 'comparing', step: -1 },
    seen.now,
    `${so}. Now ${rollout.to} also answers ${share} of the misses, and the answers are compared`,
  )
}

function beginMoving(rollout: Rollout, seen: RolloutSeen, so: string): Rollout {
  const first = rollout.options.steps.findIndex((step) => step > rollout.share)
  // Without a comparison, what is judged begins with the first calls that move.
  const judged = rollout.judged.evidence.errors.logs.length === 0 ? beginStep(rollout.judged) : rollout.judged
  return nextAim({ ...rollout, judged, phase: 'moving', step: Math.max(0, first) }, seen, `${so}. `)
}

function nextAim(rollout: Rollout, seen: RolloutSeen, so = ''): Rollout {
  const aim = nextStep(rollout)
  const before = rollout.phase === 'moving' && so === '' ? `${summary(rollout)}. ` : so
  const next = said(
    { ...rollout, stepAt: seen.now },
    seen.now,
    `${before}Next ${rollout.to} is to have ${percent(aim)} of the calls`,
  )
  return moveOn(next, seen, aim)
}

/** Towards the share that is aimed at, as far as the hits allow. */
function moveOn(rollout: Rollout, seen: RolloutSeen, aim: number): Rollout {
  const sinceMove = seen.now - rollout.movedAt
  if (sinceMove < SETTLED_MS) return waiting(rollout, `waits until the last move shows`)
  const lack = lackOfBackends(rollout, seen)
  if (lack) return lack
  const part = hitsNow(rollout)
  const far = mayMove(rollout, part)
  const rest = aim - rollout.share
  if (far < Math.min(rest, LEAST_MOVE)) {
    if (sinceMove >= HITS_MS) return withoutLostHits(rollout, seen, part)
    return waiting(
      rollout,
      `${rollout.to} has ${percent(rollout.share)} of the calls; the hits are at ${percent(100 * part)} of what they were, and it waits until more are back`,
    )
  }
  // A small rest goes along.
  const share = far >= rest - LEAST_MOVE ? aim : Math.round(100 * (rollout.share + far)) / 100
  const moved = { ...(share === aim ? begun(rollout, seen) : rollout), share, movedAt: seen.now }
  const has = `${rollout.to} has ${percent(share)} of the calls`
  // Of the many small moves of a cold cache, only where they lead is kept.
  return share === aim ? said(moved, seen.now, has) : waiting(moved, `${has}, on the way to ${percent(aim)}`)
}

/** What has not come back for so long was lost for another reason, such as other callers: it goes on by what there is. */
function withoutLostHits(rollout: Rollout, { now }: RolloutSeen, part: number): Rollout {
  const { rates } = rollout
  const hitsBefore = 1 - rates.misses / Math.max(1e-9, rates.calls)
  const sentence = `the hits are at ${percent(100 * part)} of what they were, ${duration(HITS_MS / 1000)} after the last move: it takes that for what they are now`
  return said({ ...rollout, hitsBefore }, now, sentence)
}

/** A new step: its calls are counted from here, and its evidence also. */
function begun(rollout: Rollout, { now }: RolloutSeen): Rollout {
  const judged = beginStep(rollout.judged)
  return { ...rollout, judged, sampled: 0, compared: 0, differed: 0, stepAt: now }
}

function finish(rollout: Rollout, { now }: RolloutSeen): Rollout {
  const took = duration((now - rollout.startedAt) / 1000)
  return said(
    { ...rollout, phase: 'done' },
    now,
    `${summary(rollout)}. ${rollout.to} has all calls of ${rollout.route}, after ${took}; the answers of ${rollout.from} are kept, and "infergate rollout back ${rollout.route}" finds them`,
  )
}

/** Undefined: the new pool has the backends that it needs. */
function lackOfBackends(rollout: Rollout, seen: RolloutSeen): Rollout | undefined {
  const { ready, wanted = 1 } = seen.replicas
  const needed = Math.max(1, wanted)
  if (ready >= needed) return undefined
  const has = `${rollout.to} has ${ready} of the ${needed} backends that it needs`
  if (seen.now - Math.max(rollout.stepAt, rollout.movedAt) > BACKENDS_MS)
    return goBack(rollout, {
      now: seen.now,
      reason: 'backends',
      why: `${has}, after ${duration(BACKENDS_MS / 1000)}`,
    })
  return waiting(rollout, `${has}, and waits for the rest`)
}

function tooLate(rollout: Rollout, seen: RolloutSeen, so: string): Rollout {
  const { stepTimeoutMs, sampled, sample } = rollout
  const age = seen.now - rollout.stepAt
  if (age <= stepTimeoutMs || (sampled >= sample && rollout.phase !== 'comparing'))
    return waiting(rollout, so)
  return goBack(rollout, {
    now: seen.now,
    reason: 'samples',
    why: `${so}, after ${duration(age / 1000)}: too few to judge it. Start again with a longer --step-timeout, or a smaller --min-sample`,
  })
}

export function goBack(
  rollout: Rollout,
  { now, reason, why }: { now: number; reason: NonNullable<Rollout['reason']>; why: string },
): Rollout {
  const { share, shareBefore, from, to } = rollout
  const had = share > shareBefore ? `, which had ${percent(share)} of them` : ''
  return said(
    { ...rollout, phase: 'back', share: shareBefore, isPaused: false, reason, movedAt: now },
    now,
    `${from} has its calls back from ${to}${had}: ${why}`,
  )
}

function isHeld({ stepAt, options }: Rollout, { now }: RolloutSeen): boolean {
  return now - stepAt >= options.holdMs
}

function summary({ judged, to, from }: Rollout): string {
  const { newCalls, newBad, oldCalls, oldBad } = judged.evidence.errors.seen
  const failed = (bad: number, of: number) => percent((100 * bad) / Math.max(1, of))
  return `${failed(newBad, newCalls)} of ${to}'s ${newCalls} calls failed so far, ${failed(oldBad, oldCalls)} of ${from}'s ${oldCalls}`
}

function waiting(rollout: Rollout, sentence: string): Rollout {
  return { ...rollout, sentence }
}

/** Says it, and keeps it in the history. */
export function said(rollout: Rollout, at: number, sentence: string): Rollout {
  const history: Said[] = [...rollout.history, { at, sentence }].slice(-MAX_HISTORY)
  return { ...rollout, sentence, history }
}

function rate(perSecond: number): string {
  return String(Number(perSecond.toPrecision(2)))
}

/** Starts of the judge's evidence for these steps. */
export function judgeFor(steps: readonly number[]) {
  return openJudge(starts(steps))
}
