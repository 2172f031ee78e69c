/** Which settings differ between two loads, by their names: for people who ask what a reload has changed. No value is told. */
import { isDeepStrictEqual } from 'node:util'
import type { Settings } from './schema.ts'

/** Parts whose members have names of their own, which are told one by one. */
const NAMED = ['pools', 'tenants', 'auth', 'admin', 'server'] as const
/** Most names that are told; the others are counted. */
const MAX_TOLD = 50

/** Such as `routes`, `tenants.mobile`, `tenants.web (new)`, `pools.old (gone)`. */
export function changedSettings(before: Settings, after: Settings): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)] as (keyof Settings)[])
  const changed = [...names].flatMap((name) => {
    if (isDeepStrictEqual(before[name], after[name])) return []
    const isNamed = (NAMED as readonly string[]).includes(name)
    return isNamed ? members(name, before[name], after[name]) : [name]
  })
  const more = changed.length - MAX_TOLD
  return more > 0 ? [...changed.slice(0, MAX_TOLD), `and ${more} more`] : changed
}

function members(part: string, before: unknown, after: unknown): string[] {
  const [old, now] = [objectOf(before), objectOf(after)]
  return [...new Set([...Object.keys(old), ...Object.keys(now)])].flatMap((name) => {
    if (isDeepStrictEqual(old[name], now[name])) return []
    if (!Object.hasOwn(old, name)) return [`${part}.${name} (new)`]
    return [Object.hasOwn(now, name) ? `${part}.${name}` : `${part}.${name} (gone)`]
  })
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return (value ?? {}) as Readonly<Record<string, unknown>>
}
