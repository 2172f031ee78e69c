/** Builds the cache from the settings: process memory and the shared tiers, each behind a circuit breaker. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Settings } from '../config/schema.ts'
import type { Log } from '../core/log.ts'
import type { Memory } from '../data/cache/memory/memory.ts'
import { createTiered, type Tiered } from '../data/cache/tiered.ts'
import { type GuardedTier, guardTier } from '../data/cache/tiers/guard.ts'
import type { Tier } from '../data/cache/tiers/tier.ts'
import { openTier, type TierContext } from './parts.ts'

export type Cache = Tiered

interface Surroundings extends TierContext {
  /** Undefined: the settings name no memory tier. */
  readonly memory: Memory | undefined
  /** How long the event loop of this thread was blocked; see `lib/event-loop-lag.ts`. */
  readonly stalled: (now: number) => number
  /** True in every thread but the first, which has logged the problems of the tiers already. */
  readonly isFurther?: boolean
}

/** A tier's server refuses the gateway until somebody changes the settings, here or at the server. */
export class TierRefused extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'TierRefused'
  }
}

/** How long the start waits for tiers to connect, in milliseconds, so that the first call finds what is stored. */
const CONNECT_MS = 300
/**
 * How long the start waits to find out what is wrong where a server accepts connections but does not answer properly.
 */
const DECIDE_MS = 2_000
const POLL_MS = 5

/**
 * Opens every tier of the settings. A server that cannot be reached is no error: its tier is skipped until it can.
 * Rejects where a server refuses the gateway for good, with the reason and the fix.
 */
export async function openCache(settings: Settings, surroundings: Surroundings): Promise<Cache> {
  const { clock, log, memory, isFurther = false } = surroundings
  const tiers: GuardedTier[] = []
  try {
    for (const tier of settings.cache.tiers)
      if (tier.type !== 'memory')
        tiers.push(guardTier(await opened(tier, surroundings), { ...tier, ...surroundings }))
    await connected(tiers)
    if (!isFurther) for (const tier of tiers) logProblem(tier, log)
  } catch (error) {
    await Promise.all(tiers.map((tier) => tier.close()))
    throw error
  }
  return createTiered({ ...(memory ? { memory } : {}), tiers, clock, queue: settings.cache.writeQueue })
}

async function opened(tier: Parameters<typeof openTier>[0], context: TierContext): Promise<Tier> {
  try {
    return await openTier(tier, context)
  } catch (error) {
    throw new TierRefused(`cache tier ${error instanceof Error ? error.message : String(error)}`)
  }
}

/**
 * Resolves when every tier is connected or known to be unreachable. Its timers keep the process alive: at the start
 * nothing else may.
 */
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

/** Most bytes of an entry besides its body. */
const ENVELOPE_BYTES = 128 * 1024

/** Share of the memory tier that holds serialized responses. */
const READY_SHARE = 1 / 8

/** Bytes for entries, of all workers together; 0 where the settings name no memory tier. */
export function memoryBytes(settings: Settings): number {
  const memory = settings.cache.tiers.find((tier) => tier.type === 'memory')
  return memory ? memory.maxBytes - readyBytes(settings) : 0
}

/** The longest entry that any route may store, with its head. */
export function longestEntry({ cache, routes }: Settings): number {
  const limits = routes.map((route) => route.cache?.maxEntryBytes ?? 0)
  return Math.max(cache.defaults.maxEntryBytes, ...limits) + ENVELOPE_BYTES
}

/** The smallest `maxBytes` of a memory tier: so much always remains for entries. */
const LEAST_BYTES = 64 * 1024

/** Bytes for serialized responses, of all workers together. */
export function readyBytes(settings: Settings): number {
  const memory = settings.cache.tiers.find((tier) => tier.type === 'memory')
  if (!memory) return 0
  return Math.floor(Math.max(0, Math.min(memory.maxBytes * READY_SHARE, memory.maxBytes - LEAST_BYTES)))
}
