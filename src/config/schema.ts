/**
 * The schema of the configuration: types, defaults, ranges and one sentence for each field. The JSON Schema for editors
 * and the reference page are generated from it. In `Settings` durations are milliseconds and sizes are bytes;
 * properties have the names of the YAML's keys.
 */
import * as z from 'zod'
import { admin } from './schema/admin.ts'
import { type apiKey, auth } from './schema/auth.ts'
import { cacheWith } from './schema/cache.ts'
import type { PartNames } from './schema/custom-parts.ts'
import { fixed, fixedPresence } from './schema/fields.ts'
import { model } from './schema/models.ts'
import { poolName, poolWith } from './schema/pools.ts'
import { routeWith } from './schema/routes.ts'
import { log, server } from './schema/server.ts'
import { stores } from './schema/stores.ts'
import { tenants } from './schema/tenants.ts'
import { tracing } from './schema/tracing.ts'

/** @param partNames custom parts that the YAML may name */
const createSchema = (partNames: PartNames = {}) =>
  z.strictObject({
    server: server.prefault({}).describe('The data port and its limits.'),
    admin: admin.prefault({}).describe('The admin listener: API, metrics, dashboard.'),
    log: log.prefault({}).describe('JSON lines on standard output.'),
    cache: cacheWith(partNames.tiers).prefault({}).describe('Where answers are kept, and for how long.'),
    auth: auth
      .exactOptional()
      .describe('How callers prove who they are; without this block nobody is asked.'),
    tracing: fixedPresence(
      tracing
        .exactOptional()
        .describe('Send traces of calls to a collector; without this block there are none.'),
    ),
    tenants: tenants
      .exactOptional()
      .describe(
        'What the callers of each tenant may have; `*`: those of any other. Without `*` any other is answered 403; without this block nobody is limited.',
      ),
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
    stores: fixed(
      stores
        .prefault({})
        .describe('How models are fetched whose `source` is not on this machine, and where they are kept.'),
    ),
  })

/** The schema with the built-in parts only. */
export const schema = createSchema()

/** The schema with these custom parts. Building one takes milliseconds, so where there are none the built-in schema is used. */
export function schemaFor(partNames: PartNames): SettingsSchema {
  return Object.values(partNames).some(({ length }) => length > 0) ? createSchema(partNames) : schema
}

export type SettingsSchema = typeof schema

export type Parsed = z.output<typeof schema>

/** The input that the schema accepts. */
export type SettingsInput = z.input<typeof schema>

type DeepReadonly<T> = T extends readonly (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T

type ParsedBackend = Parsed['pools'][string]['backends'][number]
type ParsedPool = Omit<Parsed['pools'][string], 'backends'> & { backends: (ParsedBackend & { id: string })[] }

/** The complete cache policy of one route, but for a `vary` that nobody wrote. Valid only where `enabled`. */
export type CachePolicy = DeepReadonly<
  Parsed['cache']['defaults'] & { enabled: boolean; heedBackend: boolean; vary?: string[]; tags: string[] }
>

/** A route with its name, timeout (ms) and cache policy settled, and either `pool` or `split`. */
export type RouteSettings = DeepReadonly<
  Omit<Parsed['routes'][number], 'name' | 'timeout' | 'cache'> & {
    name: string
    timeout: number
  }
> & { readonly cache: CachePolicy }

/** An embedded model; `source` is an absolute path, or a URI of a scheme other than `file`. */
export type ModelSettings = DeepReadonly<Omit<Parsed['models'][number], 'cache'>> & {
  readonly cache: CachePolicy
}

/** `dir` and `hdfs.tokenFile` are absolute paths. */
export type StoresSettings = DeepReadonly<Parsed['stores']>

/** An API key that callers may use. */
export type ApiKeySettings = DeepReadonly<z.output<typeof apiKey>>

export type PoolSettings = DeepReadonly<ParsedPool>
export type TierSettings = DeepReadonly<Parsed['cache']['tiers'][number]>

/** The resolved, frozen configuration. */
export type Settings = DeepReadonly<
  Pick<Parsed, 'server' | 'admin' | 'auth' | 'tenants' | 'log' | 'tracing' | 'cache'>
> & {
  readonly stores: StoresSettings
  readonly models: readonly ModelSettings[]
  readonly pools: Readonly<Record<string, PoolSettings>>
  readonly routes: readonly RouteSettings[]
}
