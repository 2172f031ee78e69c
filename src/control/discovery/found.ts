/**
 * Validates what a source says about a backend. Its JSON may hold anything: a number in place of a name, an object
 * without a `toString`. An invalid entry is dropped and affects neither the others nor the process.
 */
import { isIP } from 'node:net'
import { BOUNDS, type FoundBackend } from '../registry/registration.ts'

/** Unvalidated values from outside. */
export interface DiscoveredValues {
  readonly host: unknown
  /** Of its address for HTTP/1.1. */
  readonly port?: unknown
  /** Of its address for gRPC. At least one of the two is there. */
  readonly grpcPort?: unknown
  readonly weight?: unknown
  readonly zone?: unknown
  readonly instance?: unknown
  /** A name for people. */
  readonly pod?: unknown
}

const HOST = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})$/
/** Printable text without line ends, since it appears in logs, metrics, URLs and answers of the admin API. */
const TEXT = /^[\x21-\x7e\xa0-\uffff]{1,256}$/

/** Undefined where there is no usable address. Other invalid members are left out. */
export function foundAt({
  host,
  port,
  grpcPort,
  weight,
  zone,
  instance,
  pod,
}: DiscoveredValues): FoundBackend | undefined {
  if (typeof host !== 'string') return undefined
  const url = originAt(host, port)
  const grpc = originAt(host, grpcPort)
  if (url === undefined && grpc === undefined) return undefined
  return {
    ...(url === undefined ? {} : { url }),
    ...(grpc === undefined ? {} : { grpc }),
    ...(isNumber(weight) ? { weight: Math.min(BOUNDS.maxWeight, Math.max(1, weight)) } : {}),
    ...(isText(zone) ? { zone } : {}),
    ...(isText(instance) ? { instance } : {}),
    ...(isText(pod) ? { labels: { pod } } : {}),
  }
}

function originAt(host: string, port: unknown): string | undefined {
  const isV6 = isIP(host) === 6
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined
  if (!isV6 && !HOST.test(host)) return undefined
  return URL.parse(`http://${isV6 ? `[${host}]` : host}:${port}`)?.origin
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
  // Half of a surrogate pair cannot be encoded in a URL, so a version with one could never be requested.
  return typeof value === 'string' && TEXT.test(value) && value.isWellFormed()
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}
