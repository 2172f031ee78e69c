/**
 * Prints settings as people write them: units on durations and sizes, `host:port`, keys in the schema's order, and no
 * secrets.
 */
import type { HostPort } from '../core/addresses.ts'
import { shownUrl } from '../core/shown-url.ts'
import { formatDuration, formatSize } from '../lib/bytes.ts'
import { formatQuota, formatRate, type Quota, type RateLimit } from '../lib/rate.ts'
import type { PartNames } from './schema/custom-parts.ts'
import type { ValueKind } from './schema/fields.ts'
import { type Settings, schemaFor } from './schema.ts'
import { childOf, fieldsOf, kindOf, property, type Schema } from './walk.ts'
import { writeYaml } from './yaml.ts'

/** Plain data in the form of the YAML; tokens, passwords and their hashes are `***`. */
export function presentable(settings: Settings, partNames: PartNames = {}): unknown {
  return present(schemaFor(partNames), settings)
}

/** The same as YAML text. */
export function presentYaml(settings: Settings, partNames: PartNames = {}): string {
  return writeYaml(presentable(settings, partNames))
}

function present(schema: Schema | undefined, value: unknown): unknown {
  const kind = schema && kindOf(schema)?.kind
  if (kind) return SHOW[kind](value)
  if (typeof value !== 'object' || value === null || !schema) return value
  if (Array.isArray(value)) return value.map((entry, i) => present(childOf(schema, i, value), entry))
  const keys = Object.keys(fieldsOf(schema, value) ?? value).filter((key) => Object.hasOwn(value, key))
  return Object.fromEntries(
    keys.map((key) => [key, present(childOf(schema, key, value), property(value, key))]),
  )
}

const SHOW: Readonly<Record<ValueKind, (value: unknown) => unknown>> = {
  duration: (ms) => formatDuration(ms as number),
  share: (share) => `${Number(((share as number) * 100).toPrecision(12))}%`,
  size: (bytes) => formatSize(bytes as number),
  rate: (limit) => formatRate(limit as RateLimit),
  quota: (quota) => formatQuota(quota as Quota),
  address: (address) => {
    const { host, port } = address as HostPort
    return `${host.includes(':') ? `[${host}]` : host}:${port}`
  },
  secret: () => '***',
  secretUrl: (url) => shownUrl(url as string),
  place: (place) => shownUrl(place as string),
}
