/**
 * Opens the parts that the settings name: built-in ones, and custom ones from a module outside of the package. Packages
 * that are heavy or not always needed are loaded with the first setting that names them.
 */
import { pathToFileURL } from 'node:url'
import type { PartName, PartNames } from '../config/schema/custom-parts.ts'
import type { PoolSettings, RouteSettings, Settings, TierSettings } from '../config/schema.ts'
import type { DiscoverySource } from '../control/discovery/source.ts'
import type { Emitter } from '../control/scale/signal.ts'
import type { Log } from '../core/log.ts'
import type { SharedStore } from '../core/shared.ts'
import type { PolicyFactory } from '../data/balance/policies/policies.ts'
import type { Tier } from '../data/cache/tiers/tier.ts'
import type { Clock } from '../lib/clock.ts'
import { oip } from '../protocol/oip/oip.ts'
import { opaque } from '../protocol/opaque.ts'
import { openai, openaiByPath } from '../protocol/openai/openai.ts'
import type { Protocol } from '../protocol/protocol.ts'
import { tfserving } from '../protocol/tfserving/tfserving.ts'
import { torchserve, torchserveByPath } from '../protocol/torchserve/torchserve.ts'
import { type SealContext, type SharedTierSettings, sealsOf } from './seals.ts'
import type { LiveTls } from './tls.ts'

/** The `options` block of a part in the YAML. */
export type PartOptions = Readonly<Record<string, unknown>>

type CustomTierSettings = Extract<TierSettings, { type: PartName }>

/** What the gateway gives to a source or an emitter. */
export interface PartContext {
  readonly pool: string
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
}

/**
 * Custom parts, by the names that the YAML uses; each begins with `x-`. A function that throws, or rejects, ends the
 * start with its message, or refuses the reload.
 */
export interface Parts {
  /** Dialects, for `routes[].protocol`; `auto` tries them after the built-in ones. */
  readonly protocols?: Readonly<Record<PartName, Protocol>>
  /** For `cache.tiers[].type`. */
  readonly tiers?: Readonly<Record<PartName, (settings: CustomTierSettings) => Tier | Promise<Tier>>>
  /** For `pools.*.balance.policy`. */
  readonly policies?: Readonly<Record<PartName, PolicyFactory>>
  /** For `pools.*.discovery[].type`. */
  readonly sources?: Readonly<
    Record<PartName, (options: PartOptions, context: PartContext) => DiscoverySource>
  >
  /** For `pools.*.scale.emit[].type`. */
  readonly emitters?: Readonly<
    Record<PartName, (options: PartOptions, context: PartContext) => Emitter | Promise<Emitter>>
  >
}

/** Custom parts, loaded. Each thread loads them for itself, so what is passed between threads is the module's URL. */
export interface LoadedParts {
  readonly url: string
  readonly parts: Parts
  /** For `loadSettings`. */
  readonly names: PartNames
}

const KINDS = ['protocols', 'tiers', 'policies', 'sources', 'emitters'] as const
const NAME = /^x-[a-z0-9][a-z0-9-]{0,61}$/

/**
 * Loads a module whose default export is a `Parts`. Rejects with an Error that says what is wrong with it.
 * @param module a file URL, or a path from the working directory.
 */
export async function loadParts(module: string | URL): Promise<LoadedParts> {
  const isUrl = typeof module !== 'string' || module.startsWith('file:')
  const url = isUrl ? new URL(module) : pathToFileURL(module)
  const { default: parts } = (await import(url.href).catch((error: unknown) => {
    throw new Error(`the parts in ${url.href} do not load: ${String(error)}`, { cause: error })
  })) as { readonly default?: Parts }
  const problem = problemOf(parts)
  if (parts === undefined || problem !== undefined) throw new Error(`the parts in ${url.href}: ${problem}`)
  const names = Object.fromEntries(KINDS.map((kind) => [kind, Object.keys(parts[kind] ?? {})]))
  return { url: url.href, parts, names }
}

function problemOf(parts: unknown): string | undefined {
  if (typeof parts !== 'object' || parts === null)
    return 'the default export is no object: write export default { tiers: { "x-…": … } }'
  for (const [kind, named] of Object.entries(parts)) {
    if (!(KINDS as readonly string[]).includes(kind))
      return `${JSON.stringify(kind)} is no kind of part: there are ${KINDS.join(', ')}`
    if (typeof named !== 'object' || named === null) return `${kind} has to map names to parts`
    for (const [name, part] of Object.entries(named)) {
      if (!NAME.test(name))
        return `${kind}: the name ${JSON.stringify(name)} has to begin with x- and have 3 to 64 lower-case letters, digits and "-"`
      if (typeof part !== (kind === 'protocols' ? 'object' : 'function') || part === null)
        return `${kind}: ${name} has to be a ${kind === 'protocols' ? 'Protocol' : 'function'}`
    }
  }
  return undefined
}

/** Dialects in the order in which `auto` tries them; opaque takes whatever is left. */
export function protocolsOf(name: RouteSettings['protocol'], custom: Parts = {}): readonly Protocol[] {
  switch (name) {
    case 'auto':
      return [
        tfserving,
        oip,
        openaiByPath,
        torchserveByPath,
        ...Object.values(custom.protocols ?? {}),
        opaque,
      ]
    case 'tfserving':
      return [tfserving]
    case 'oip':
      return [oip]
    case 'torchserve':
      return [torchserve]
    case 'openai':
      return [openai]
    case 'opaque':
      return [opaque]
    default:
      return [named(custom.protocols, name)]
  }
}

/** The dialects of the embedded model server, by the kind of model. */
export const EMBEDDED: Readonly<Record<Settings['models'][number]['kind'], readonly Protocol[]>> = {
  tensors: [tfserving, oip],
  // The last takes whatever path is left.
  embedding: [tfserving, oip, openai],
}

export interface TierContext extends SealContext {
  readonly tls: LiveTls
  /** Custom parts. */
  readonly customParts: Parts
}

export async function openTier(settings: SharedTierSettings, context: TierContext): Promise<Tier> {
  const seals = sealsOf(settings, context)
  if (!seals) return openBare(settings, context)
  const { sealTier } = await import('../data/cache/tiers/sealed-tier.ts')
  const maxEntryBytes = settings.maxEntryBytes + seals.entries.overhead
  return sealTier(await openBare({ ...settings, maxEntryBytes }, context), seals)
}

async function openBare(settings: SharedTierSettings, { tls, customParts }: TierContext): Promise<Tier> {
  switch (settings.type) {
    case 'redis': {
      const { createRedisTier } = await import('../data/cache/tiers/redis.ts')
      return createRedisTier({ ...settings, tls: () => tls.tier(settings.name) })
    }
    case 'memcached': {
      const { createMemcachedTier } = await import('../data/cache/tiers/memcached.ts')
      return createMemcachedTier(settings)
    }
    default:
      return named(customParts.tiers, settings.type)(settings)
  }
}

export type CustomSourceSettings = Extract<PoolSettings['discovery'][number], { type: PartName }>
export type CustomEmitSettings = Extract<
  NonNullable<PoolSettings['scale']>['emit'][number],
  { type: PartName }
>

export function openCustomSource(
  custom: Parts,
  { type, options }: CustomSourceSettings,
  context: PartContext,
): DiscoverySource {
  return named(custom.sources, type)(options, context)
}

export async function openCustomEmitter(
  custom: Parts,
  { type, options }: CustomEmitSettings,
  context: PartContext,
): Promise<Emitter> {
  return named(custom.emitters, type)(options, context)
}

/** The part of that name. Settings from `loadSettings` name existing parts only; settings made by hand may not. */
function named<T>(parts: Readonly<Record<PartName, T>> | undefined, name: PartName): T {
  const part = parts?.[name]
  if (part === undefined) throw new Error(`there is no part ${name}: is its module given in "parts"?`)
  return part
}

/**
 * The store through which gateways share their backends: the first Redis tier. Undefined where there is none, or
 * sharing is off.
 */
export async function openStore({ cache }: Settings, tls: LiveTls): Promise<SharedStore | undefined> {
  const tier = cache.tiers.find(({ type }) => type === 'redis')
  if (tier?.type !== 'redis') return undefined
  const { createRedisStore } = await import('../data/cache/tiers/redis.ts')
  return createRedisStore({ ...tier, name: `${tier.name} (shared)`, tls: () => tls.tier(tier.name) })
}
