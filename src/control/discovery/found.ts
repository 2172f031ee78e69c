/**
 * What a source says of a backend, before it is believed. Its JSON may hold anything: a number where a name should be, an
 * object without a `toString`. One entry that is not understood costs that entry, and neither the others nor the process.
 */
import { isIP } from 'node:net'
import { BOUNDS, type FoundBackend } from '../registry/registration.ts'

/** As it came from outside. */
export interface DiscoveredValues {
  readonly host: unknown
  readonly port: unknown
  readonly weight?: unknown
  readonly zone?: unknown
  readonly instance?: unknown
  /** A name for people. */
  readonly pod?: unknown
}

const HOST = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})$/
/** Printable and without line ends: these stand in logs, metrics, URLs and answers of the admin API. */
const TEXT = /^[\x21-\x7e\xa0-\uffff]{1,256}$/

/** Undefined where no place is named that could be connected to. What is odd about the rest is left out. */
export function foundAt({
  host,
  port,
  weight,
  zone,
  instance,
  pod,
}: DiscoveredValues): FoundBackend | undefined {
  if (typeof host !== 'string' || typeof port !== 'number') return undefined
  const isV6 = isIP(host) === 6
  if ((!isV6 && !HOST.test(host)) || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined
  const url = URL.parse(`http://${isV6 ? `[${host}]` : host}:${port}`)
  if (!url) return undefined
  return {
    url: url.origin,
    ...(isNumber(weight) ? { weight: Math.min(BOUNDS.maxWeight, Math.max(1, weight)) } : {}),
    ...(isText(zone) ? { zone } : {}),
    ...(isText(instance) ? { instance } : {}),
    ...(isText(pod) ? { labels: { pod } } : {}),
  }
}

/** An object as JSON has them; undefined for everything else. */
export function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}

/** A list, or none. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function isText(value: unknown): value is string {
  // Half of a surrogate pair cannot be written in a URL: a version that holds one would never be asked for.
  return typeof value === 'string' && TEXT.test(value) && value.isWellFormed()
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}
