/** The scaler's memory between decisions, and how a report is added to it. */
import { type CacheMemory, NO_LOSS, noteCache } from './cache-loss.ts'
import { type CorrectMemory, startCorrecting } from './correct.ts'
import type { Demand, ScaleOptions } from './demand.ts'
import { type LearnMemory, learn, NOTHING_LEARNT } from './learn.ts'
import { addLoad, emptyLoad, type LoadMemory } from './load.ts'
import { type MoveMemory, startMoves } from './moves.ts'
import { NO_PRESSURE, type PressureMemory } from './pressure.ts'
import { clamp } from './size.ts'
import { learnTokens, NO_TOKENS, type TokenMemory } from './token-learn.ts'

/**
 * The memory of one pool's scaler. It may be lost: a new scaler stays at the present scale until it has watched for a
 * while.
 */
export interface ScaleMemory {
  /** Time of the last report folded in; undefined before the first. */
  readonly at?: number
  readonly load: LoadMemory
  readonly learnt: LearnMemory
  readonly tokens: TokenMemory
  readonly cache: CacheMemory
  readonly pressure: PressureMemory
  readonly correct: CorrectMemory
  readonly moves: MoveMemory
  /** When there was a call last. */
  readonly calledAt: number
}

/** The memory of a new pool: its present scale is desired. */
export function begin(demand: Demand, options: ScaleOptions): ScaleMemory {
  const present = demand.replicas.ready + demand.replicas.startingMs.length
  return {
    load: emptyLoad(options.stableMs),
    learnt: NOTHING_LEARNT,
    tokens: NO_TOKENS,
    cache: NO_LOSS,
    pressure: NO_PRESSURE,
    correct: startCorrecting(demand.at),
    moves: startMoves(clamp(present, options), demand.at),
    calledAt: demand.at,
  }
}

/** Adds a report. After a gap the load starts afresh, since older load says nothing about now. */
export function observe(memory: ScaleMemory, demand: Demand, options: ScaleOptions): ScaleMemory {
  const moves = { ...memory.moves, desired: clamp(memory.moves.desired, options) }
  const elapsedMs = Math.max(0, demand.at - (memory.at ?? demand.at))
  const isGap = elapsedMs > options.staleMs
  const load = addLoad(isGap ? emptyLoad(options.stableMs) : memory.load, demand)
  return {
    ...memory,
    at: Math.max(demand.at, memory.at ?? demand.at),
    load,
    learnt: learn(memory.learnt, demand, elapsedMs),
    tokens: learnTokens(memory.tokens, demand, elapsedMs),
    cache: noteCache(memory.cache, demand, load, options),
    moves: isGap ? { ...moves, wants: [], watchingSince: demand.at } : moves,
    calledAt: isCalled(demand) ? demand.at : memory.calledAt,
  }
}

/** Whether anybody asked for anything since the report before. */
export function isCalled(demand: Demand): boolean {
  return demand.queue + demand.inflight > 0 || demand.buckets.some(({ offered }) => offered > 0)
}
