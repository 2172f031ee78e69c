/**
 * Feed-forward control for a lost cache: it turns hits into misses at once, and the scaler need not wait until a window
 * shows them. The loss is known the moment it happens (or before, for a planned deployment), and so is the load that
 * follows.
 */
import type { Demand, ScaleOptions } from './demand.ts'
import { type LoadMemory, meanOf, presentRate } from './load.ts'

export interface CacheMemory {
  /** The last loss acted on, named by its instant. */
  readonly at?: number
  /** Share of calls answered without a backend before it. */
  readonly hitRatioBefore: number
  /** Half-life of the last refill: the time until half of the lost hits were back, milliseconds. */
  readonly halfLifeMs: number
  readonly isRefilling: boolean
}

export const NO_LOSS: CacheMemory = { hitRatioBefore: 0, halfLifeMs: 60_000, isRefilling: false }

/** Half-lives after which a refill counts as over: 15/16 of the hits are back. */
const OVER_AFTER = 4

/** The share of calls answered without a backend over the last `windowMs`, 0 to 1. */
export function hitRatio(load: LoadMemory, windowMs: number): number {
  const answered = meanOf(load, 'answered', windowMs)
  const offered = meanOf(load, 'offered', windowMs)
  return answered + offered > 0 ? answered / (answered + offered) : 0
}

export function noteCache(
  memory: CacheMemory,
  demand: Demand,
  load: LoadMemory,
  options: ScaleOptions,
): CacheMemory {
  const loss = demand.cache
  if (loss && loss.at !== memory.at) {
    // Where the loss is already past, the slow window is nearly all from before it.
    return { ...memory, at: loss.at, hitRatioBefore: hitRatio(load, options.stableMs), isRefilling: true }
  }
  if (memory.at === undefined || !memory.isRefilling || demand.at <= memory.at) return memory
  return noteRefill(memory, { age: demand.at - memory.at, now: hitRatio(load, options.fastMs) })
}

/** Measures the half-life when half of the hits are back; gives up after a while where they never are. */
function noteRefill(memory: CacheMemory, seen: { age: number; now: number }): CacheMemory {
  const isHalfBack = seen.now >= memory.hitRatioBefore / 2
  // In the first seconds the fast window still shows the hits from before the loss.
  if (isHalfBack && seen.age > 12_000) {
    return { ...memory, halfLifeMs: Math.min(600_000, Math.max(10_000, seen.age)), isRefilling: false }
  }
  return seen.age > OVER_AFTER * 600_000 ? { ...memory, isRefilling: false } : memory
}

export interface Foreseen {
  /** Misses a second to prepare for. */
  readonly perSecond: number
  readonly why: 'cache_lost' | 'cache_reserve' | 'rollout'
}

interface Ahead {
  readonly demand: Demand
  readonly load: LoadMemory
  readonly leadMs: number
}

/** The misses that a known loss, the configured reserve or an announcement requires; undefined where there is none of them. */
export function foresee(memory: CacheMemory, at: Ahead, options: ScaleOptions): Foreseen | undefined {
  const lost = foreseeLoss(memory, at, options)
  const expected = at.demand.expected?.perSecond ?? 0
  return expected > (lost?.perSecond ?? 0) ? { perSecond: expected, why: 'rollout' } : lost
}

function foreseeLoss(
  memory: CacheMemory,
  { demand, load, leadMs }: Ahead,
  options: ScaleOptions,
): Foreseen | undefined {
  const total = () => presentRate(load, ['offered', 'answered'], 1).perSecond
  if (isLossActive(memory, demand, leadMs)) {
    return { perSecond: total() * (1 - hitsExpected(memory, demand)), why: 'cache_lost' }
  }
  if (options.cacheLossReserve <= 0) return undefined
  const misses = total() * (1 - hitRatio(load, options.stableMs) * (1 - options.cacheLossReserve))
  return { perSecond: misses, why: 'cache_reserve' }
}

/** Whether a loss is so recent that the load has not settled. */
export function isLossFresh(memory: CacheMemory, demand: Demand, options: ScaleOptions): boolean {
  return memory.at !== undefined && demand.cache?.at === memory.at && demand.at - memory.at < options.stableMs
}

/** From one start time before a loss until its hits are back. */
function isLossActive(memory: CacheMemory, demand: Demand, leadMs: number): boolean {
  const { cache } = demand
  if (!cache || memory.at !== cache.at || demand.at < cache.at - leadMs) return false
  return cache.kind === 'tierDown' || demand.at - cache.at < OVER_AFTER * memory.halfLifeMs
}

function hitsExpected(memory: CacheMemory, demand: Demand): number {
  const { cache } = demand
  if (!cache) return memory.hitRatioBefore
  const left = Math.min(cache.hitRatioLeft, memory.hitRatioBefore)
  if (cache.kind === 'tierDown') return left
  const age = Math.max(0, demand.at - cache.at)
  return left + (memory.hitRatioBefore - left) * (1 - 0.5 ** (age / memory.halfLifeMs))
}
