/** The cache, put together from the settings: process memory and the shared tiers, each behind its guard. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Settings } from '../config/schema.ts'
import type { Log } from '../core/log.ts'
import type { Memory } from '../data/cache/memory/memory.ts'
import { createTiered, type Tiered } from '../data/cache/tiered.ts'
import { type GuardedTier, guardTier } from '../data/cache/tiers/guard.ts'
import type { Tier } from '../data/cache/tiers/tier.ts'
import type { TierObserver } from '../data/cache/tiers/tier-observer.ts'
import type { Clock } from '../lib/clock.ts'
import { openTier, type Parts } from './parts.ts'

export type Cache = Tiered

interface Surroundings {
  readonly clock: Clock
  readonly log: Log
  readonly observer: TierObserver
  /** Undefined: the settings name no memory tier. */
  readonly memory: Memory | undefined
  /** For how long this thread could not look; see `lib/event-loop-lag.ts`. */
  readonly stalled: (now: number) => number
  /** A further thread of a process that has started: what is wrong with a tier has been said. */
  readonly isFurther?: boolean
  /** Parts of one's own. */
  readonly customParts: Parts
}

/** A tier's server will not have us until somebody changes the settings, here or there. */
export class TierRefused extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'TierRefused'
  }
}

/** How long the start waits for tiers to connect, so that the first call finds what is stored, in milliseconds. */
const CONNECT_MS = 300
/** Where somebody is there but does not answer as he should, it is found out why. */
const DECIDE_MS = 2_000
const POLL_MS = 5

/**
 * Opens every tier of the settings. A server that is not there is no error: its tier is skipped until it comes. One that
 * refuses us for good is: rejects with what it is and what mends it.
 */
export async function openCache(settings: Settings, surroundings: Surroundings): Promise<Cache> {
  const { clock, log, memory, customParts, isFurther = false } = surroundings
  const tiers: GuardedTier[] = []
  try {
    for (const tier of settings.cache.tiers)
      if (tier.type !== 'memory')
        tiers.push(guardTier(await opened(tier, customParts), { ...tier, ...surroundings }))
    await connected(tiers)
    if (!isFurther) for (const tier of tiers) logProblem(tier, log)
  } catch (error) {
    await Promise.all(tiers.map((tier) => tier.close()))
    throw error
  }
  return createTiered({ ...(memory ? { memory } : {}), tiers, clock, queue: settings.cache.writeQueue })
}

async function opened(tier: Parameters<typeof openTier>[0], custom: Parts): Promise<Tier> {
  try {
    return await openTier(tier, custom)
  } catch (error) {
    throw new TierRefused(`cache tier ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Resolves when all are connected or known not to be. Its timers keep the process alive: at the start nothing else may. */
async function connected(tiers: readonly GuardedTier[]): Promise<void> {
  const began = performance.now()
  for (;;) {
    const waited = performance.now() - began
    const isWaiting = tiers.some(
      ({ state, refusal, isDeciding }) =>
        state === 'open' && refusal === undefined && waited < (isDeciding ? DECIDE_MS : CONNECT_MS),
    )
    if (!isWaiting) return
    await sleep(POLL_MS)
  }
}

function logProblem({ name, refusal, trouble }: GuardedTier, log: Log): void {
  if (refusal !== undefined) throw new TierRefused(`cache tier ${name}: ${refusal}`)
  if (trouble !== undefined) log.warn('tier.away', { tier: name, reason: trouble })
}

/** What an entry is longer than its body, at most. */
const ENVELOPE_BYTES = 128 * 1024

/** Share of the memory tier's bytes that holds answers ready to be written. */
const READY_SHARE = 1 / 8

/** What entries may take, of all workers together; 0: the settings name no memory tier. */
export function memoryBytes(settings: Settings): number {
  const memory = settings.cache.tiers.find((tier) => tier.type === 'memory')
  return memory ? memory.maxBytes - readyBytes(settings) : 0
}

/** The longest entry that any route may want kept, with its head. */
export function longestEntry({ cache, routes }: Settings): number {
  const limits = routes.map((route) => route.cache?.maxEntryBytes ?? 0)
  return Math.max(cache.defaults.maxEntryBytes, ...limits) + ENVELOPE_BYTES
}

/** The smallest memory there may be (`maxBytes` of its tier) has no room for them. */
const LEAST_BYTES = 64 * 1024

/** What ready answers may take, of all workers together. */
export function readyBytes(settings: Settings): number {
  const memory = settings.cache.tiers.find((tier) => tier.type === 'memory')
  if (!memory) return 0
  return Math.floor(Math.max(0, Math.min(memory.maxBytes * READY_SHARE, memory.maxBytes - LEAST_BYTES)))
}
