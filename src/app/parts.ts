/**
 * The list of built-in parts, by the names they have in the settings. Packages that are heavy or not always
 * needed are loaded with the first setting that names them.
 */

import type { RouteSettings, Settings, TierSettings } from '../config/schema.ts'
import type { SharedStore } from '../core/shared.ts'
import type { Tier } from '../data/cache/tiers/tier.ts'
import { oip } from '../protocol/oip/oip.ts'
import { opaque } from '../protocol/opaque.ts'
import type { Protocol } from '../protocol/protocol.ts'
import { tfserving } from '../protocol/tfserving/tfserving.ts'

type ProtocolName = RouteSettings['protocol']

/** Dialects in the order in which `auto` tries them; opaque takes whatever is left. */
export const PROTOCOLS: Readonly<Record<ProtocolName, readonly Protocol[]>> = {
  auto: [tfserving, oip, opaque],
  tfserving: [tfserving],
  oip: [oip],
  opaque: [opaque],
}

/** The dialects of the embedded model server. */
export const EMBEDDED: readonly Protocol[] = [tfserving, oip]

type SharedTier = Exclude<TierSettings, { type: 'memory' }>

export async function openTier(settings: SharedTier): Promise<Tier> {
  switch (settings.type) {
    case 'redis': {
      const { createRedisTier } = await import('../data/cache/tiers/redis.ts')
      return createRedisTier(settings)
    }
    case 'memcached': {
      const { createMemcachedTier } = await import('../data/cache/tiers/memcached.ts')
      return createMemcachedTier(settings)
    }
  }
}

/** Where gateways tell each other of their backends: the first Redis tier. Undefined: there is none, or it is not wanted. */
export async function openStore({ admin, cache }: Settings): Promise<SharedStore | undefined> {
  const tier = cache.tiers.find(({ type }) => type === 'redis')
  if (tier?.type !== 'redis' || !admin.shareBackends) return undefined
  const { createRedisStore } = await import('../data/cache/tiers/redis.ts')
  return createRedisStore({ ...tier, name: `${tier.name} (shared)` })
}
