/**
 * The configuration, said once: types, defaults, ranges and one sentence a field. The JSON Schema for
 * editors and the reference page are generated from it. Durations are milliseconds and sizes are bytes in
 * `Settings`; the property has the name of the YAML's key.
 */
import * as z from 'zod'
import { admin } from './schema/admin.ts'
import { cacheWith } from './schema/cache.ts'
import type { PartNames } from './schema/custom-parts.ts'
import { fixed } from './schema/fields.ts'
import { model } from './schema/models.ts'
import { poolName, poolWith } from './schema/pools.ts'
import { routeWith } from './schema/routes.ts'
import { log, server } from './schema/server.ts'

/** @param own what the YAML may name besides what is built in. */
export const createSchema = (partNames: PartNames = {}) =>
  z.strictObject({
    server: server.prefault({}).describe('The data port and its limits.'),
    admin: admin.prefault({}).describe('The admin listener: API, metrics, dashboard.'),
    log: log.prefault({}).describe('JSON lines on standard output.'),
    cache: cacheWith(partNames.tiers).prefault({}).describe('Where answers are kept, and for how long.'),
    pools: z
      .record(poolName, poolWith(partNames))
      .prefault({})
      .describe('Groups of equal backends, by name.'),
    routes: z
      .array(routeWith(partNames.protocols))
      .prefault([])
      .describe('Which calls go to which pool; the first that matches wins.'),
    models: fixed(
      z
        .array(model)
        .prefault([])
        .describe(
          'Embedded models: each is a pool of its own name, with its own routes, which come after `routes`.',
        ),
    ),
  })

/** With what is built in. */
export const schema = createSchema()

export type SettingsSchema = typeof schema

export type Parsed = z.output<typeof schema>

/** What may stand in the YAML. */
export type SettingsInput = z.input<typeof schema>

type DeepReadonly<T> = T extends readonly (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T

type ParsedBackend = Parsed['pools'][string]['backends'][number]
type ParsedPool = Omit<Parsed['pools'][string], 'backends'> & { backends: (ParsedBackend & { id: string })[] }

/** How the answers of one route are kept, nothing left out. Read it only where `enabled`. */
export type CachePolicy = DeepReadonly<
  Parsed['cache']['defaults'] & { enabled: boolean; heedBackend: boolean; vary: string[]; tags: string[] }
>

/** A route with its name, pool, timeout (ms) and cache policy settled. */
export type RouteSettings = DeepReadonly<
  Omit<Parsed['routes'][number], 'name' | 'pool' | 'timeout' | 'cache'> & {
    name: string
    pool: string
    timeout: number
  }
> & { readonly cache: CachePolicy }

/** An embedded model; `source` is an absolute path, or a URI of a scheme other than `file`. */
export type ModelSettings = DeepReadonly<Omit<Parsed['models'][number], 'cache'>> & {
  readonly cache: CachePolicy
}

export type PoolSettings = DeepReadonly<ParsedPool>
export type TierSettings = DeepReadonly<Parsed['cache']['tiers'][number]>

/** The resolved, frozen configuration. */
export type Settings = DeepReadonly<Pick<Parsed, 'server' | 'admin' | 'log' | 'cache'>> & {
  readonly models: readonly ModelSettings[]
  readonly pools: Readonly<Record<string, PoolSettings>>
  readonly routes: readonly RouteSettings[]
}
