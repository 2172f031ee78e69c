/** The cache, put together from the settings: process memory and the shared tiers, each behind its guard. */
import type { Settings } from '../config/schema.ts'
import type { Log } from '../core/log.ts'
import { guardTier, type TierObserver } from '../data/cache/guard.ts'
import type { Memory } from '../data/cache/memory.ts'
import { createTiered, type Tiered } from '../data/cache/tiered.ts'
import type { Clock } from '../lib/clock.ts'
import { openTier } from './parts.ts'

export type Cache = Tiered

interface Surroundings {
  readonly clock: Clock
  readonly log: Log
  readonly observer: TierObserver
  /** Undefined: the settings name no memory tier. */
  readonly memory: Memory | undefined
}

/** How long the start waits for tiers to connect, so that the first call finds what is stored, in milliseconds. */
const CONNECT_MS = 300
const LOOK_MS = 5

/** Opens every tier of the settings. A server that is not there is no error: its tier is skipped until it comes. */
export async function openCache(
  settings: Settings,
  { clock, log, observer, memory }: Surroundings,
): Promise<Cache> {
  const shared = settings.cache.tiers.filter((tier) => tier.type !== 'memory')
  const tiers = await Promise.all(
    shared.map(async (tier) => guardTier(await openTier(tier), { ...tier, clock, log, observer })),
  )
  const deadline = clock.now() + CONNECT_MS
  while (tiers.some(({ state }) => state === 'open') && clock.now() < deadline)
    await new Promise<void>((resolve) => void clock.after(LOOK_MS, resolve))
  return createTiered({
    ...(memory ? { memory } : {}),
    tiers,
    clock,
    queue: settings.cache.writeQueue,
  })
}

/** Share of the memory tier's bytes that holds answers ready to be written. */
const READY_SHARE = 1 / 8

/** What entries may take, of all workers together; 0: the settings name no memory tier. */
export function memoryBytes(settings: Settings): number {
  const memory = settings.cache.tiers.find((tier) => tier.type === 'memory')
  return memory ? memory.maxBytes - readyBytes(settings) : 0
}

/** The smallest memory there may be (`maxBytes` of its tier) has no room for them. */
const LEAST_BYTES = 64 * 1024

/** What ready answers may take, of all workers together. */
export function readyBytes(settings: Settings): number {
  const memory = settings.cache.tiers.find((tier) => tier.type === 'memory')
  if (!memory) return 0
  return Math.floor(Math.max(0, Math.min(memory.maxBytes * READY_SHARE, memory.maxBytes - LEAST_BYTES)))
}
