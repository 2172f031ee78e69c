/**
 * Corrects the queueing model by measurement: a bounded factor when calls are late although the plan says they are not,
 * and a verdict when more replicas do not help.
 */
import { HISTOGRAM_SIZE, quantileMs } from '../../lib/log-histogram.ts'
import type { Demand, ScaleOptions } from './demand.ts'

export interface CorrectMemory {
  /** Factor on the slots the model asks for, 1 to 2. */
  readonly trim: number
  readonly trimmedAt: number
  /** End-to-end times of the second being collected. */
  readonly latency: Float64Array
  readonly since: number
  /** The last seconds collected, oldest first. */
  readonly seconds: readonly Second[]
  readonly trial?: ScaleTrial
  readonly failures: number
  /** Until when no further replicas are requested, because the last ones did not help. */
  readonly ineffectiveUntil?: number
  /** Misses a second when that was found; markedly more end the restriction. */
  readonly ineffectiveRate?: number
}

interface Second {
  readonly at: number
  readonly latency: Float64Array
  readonly isBreach: boolean
}

/** A move up whose effect is being measured: the state before it, for comparison. */
export interface ScaleTrial {
  readonly at: number
  readonly p95Ms: number
  readonly perSecond: number
  readonly replicas: number
  readonly serviceMs: number
  /** When its replicas were all ready; undefined: not yet. */
  readonly readyAt?: number
}

export function startCorrecting(now: number): CorrectMemory {
  return {
    trim: 1,
    trimmedAt: now,
    latency: new Float64Array(HISTOGRAM_SIZE),
    since: now,
    seconds: [],
    failures: 0,
  }
}

const SECOND_MS = 1_000
const LOOK_BACK_MS = 5_000
const FEWEST = 50
const MAX_TRIM = 2
const GIVE_UP_AFTER_MS = 30_000
const RETRY_AFTER_MS = 600_000
const IMPROVEMENT = 0.05
const SLOWER = 1.25

export interface CorrectionInput {
  readonly demand: Demand
  readonly perSecond: number
  readonly serviceMs: number
  /** Whether the model expects few enough late calls with the replicas at hand. */
  readonly isPlanFine: boolean
  readonly replicas: number
  readonly isInfeasible: boolean
}

/** The p95 end to end over the last five seconds; undefined with fewer than 50 calls. */
export function recentP95(memory: CorrectMemory): number | undefined {
  const sum = new Float64Array(HISTOGRAM_SIZE)
  let count = 0
  for (const { latency } of memory.seconds) {
    latency.forEach((n, i) => {
      sum[i] = (sum[i] ?? 0) + n
      count += n
    })
  }
  return count < FEWEST ? undefined : quantileMs(sum, 0.95)
}

export function correct(memory: CorrectMemory, seen: CorrectionInput, options: ScaleOptions): CorrectMemory {
  const collected = collect(memory, seen, options)
  if (options.sloMs === undefined) return collected
  return judge(seen.isInfeasible ? { ...collected, trim: 1 } : adjust(collected, seen), seen, options)
}

function collect(memory: CorrectMemory, { demand }: CorrectionInput, options: ScaleOptions): CorrectMemory {
  const latency = memory.latency.map((n, i) => n + (demand.latency[i] ?? 0))
  if (demand.at - memory.since < SECOND_MS) return { ...memory, latency }
  const p95 = quantileMs(latency, 0.95)
  const second = { at: demand.at, latency, isBreach: p95 !== undefined && p95 > (options.sloMs ?? Infinity) }
  const kept = memory.seconds.filter(({ at }) => at > demand.at - LOOK_BACK_MS)
  const seconds = [...kept, second]
  return { ...memory, latency: new Float64Array(HISTOGRAM_SIZE), since: demand.at, seconds }
}

/** Late in three of the last five seconds. */
export function isLate(memory: CorrectMemory): boolean {
  return memory.seconds.filter(({ isBreach }) => isBreach).length >= 3 && recentP95(memory) !== undefined
}

/**
 * Raises the factor by a tenth, to 2 at most, when calls are late in three of the last five seconds although the plan
 * is fine; otherwise lowers it by 2 % a second.
 */
function adjust(memory: CorrectMemory, { demand, isPlanFine }: CorrectionInput): CorrectMemory {
  const now = demand.at
  if (!isLate(memory)) {
    const trim = 1 + (memory.trim - 1) * 0.98 ** ((now - memory.trimmedAt) / 1000)
    return { ...memory, trim: trim < 1.005 ? 1 : trim, trimmedAt: now }
  }
  const isFrozen = memory.ineffectiveUntil !== undefined && now < memory.ineffectiveUntil
  if (!isPlanFine || isFrozen || now - memory.trimmedAt < LOOK_BACK_MS) return memory
  return { ...memory, trim: Math.min(MAX_TRIM, memory.trim * 1.1), trimmedAt: now }
}

/**
 * Judges the trial: after two moves up without a better p95, or one after which service was slower, the bottleneck is
 * elsewhere.
 */
function judge(memory: CorrectMemory, seen: CorrectionInput, options: ScaleOptions): CorrectMemory {
  const now = seen.demand.at
  if (memory.ineffectiveUntil !== undefined && now >= memory.ineffectiveUntil) {
    const { ineffectiveUntil: _, ineffectiveRate: __, ...rest } = memory
    return { ...rest, failures: 0 }
  }
  const { trial } = memory
  if (!trial) return memory
  if (trial.readyAt === undefined) {
    return seen.replicas >= trial.replicas ? { ...memory, trial: { ...trial, readyAt: now } } : memory
  }
  const verdict = verdictOn({ ...trial, readyAt: trial.readyAt }, memory, { ...seen, fastMs: options.fastMs })
  if (verdict === 'open') return memory
  const { trial: _, ...rest } = memory
  const failures = verdict === 'helped' ? 0 : memory.failures + (verdict === 'worse' ? 2 : 1)
  if (failures < 2) return { ...rest, failures }
  return {
    ...rest,
    failures,
    trim: 1,
    ineffectiveUntil: now + RETRY_AFTER_MS,
    ineffectiveRate: seen.perSecond,
  }
}

function verdictOn(
  trial: ScaleTrial & { readyAt: number },
  memory: CorrectMemory,
  seen: CorrectionInput & { fastMs: number },
): 'open' | 'failed' | 'worse' | 'helped' {
  const since = seen.demand.at - trial.readyAt
  const p95 = recentP95(memory)
  if (seen.perSecond > trial.perSecond * 1.1) return 'helped'
  if (since < seen.fastMs || p95 === undefined) return since > GIVE_UP_AFTER_MS ? 'helped' : 'open'
  if (p95 < trial.p95Ms * (1 - IMPROVEMENT)) return 'helped'
  // An old backlog keeps calls late for a while even where the new replicas help.
  if (since < GIVE_UP_AFTER_MS) return 'open'
  // With more replicas for the same load each call takes longer: the replicas wait for one another.
  return seen.serviceMs > trial.serviceMs * SLOWER ? 'worse' : 'failed'
}

/** Whether further moves up wait for the verdict on the last one, whose first seconds are over. */
export function isAwaited(
  memory: CorrectMemory,
  seen: { now: number; perSecond: number },
  options: ScaleOptions,
): boolean {
  const { trial } = memory
  return (
    trial !== undefined && seen.now - trial.at > options.fastMs && seen.perSecond <= trial.perSecond * 1.1
  )
}

/** Starts a trial for a move up because of late calls. A trial in its first seconds includes the move. */
export function tryMove(
  memory: CorrectMemory,
  move: Omit<ScaleTrial, 'p95Ms' | 'readyAt'>,
  options: ScaleOptions,
): CorrectMemory {
  const p95Ms = recentP95(memory)
  if (p95Ms === undefined || p95Ms <= (options.sloMs ?? Infinity)) return memory
  const { trial } = memory
  if (!trial || move.at - trial.at > options.fastMs) return { ...memory, trial: { ...move, p95Ms } }
  return { ...memory, trial: { ...trial, replicas: move.replicas, perSecond: move.perSecond } }
}
