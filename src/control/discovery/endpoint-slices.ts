/**
 * Merges the EndpointSlices (discovery.k8s.io/v1) of one service into a list of backends. A service has many slices,
 * and an endpoint may briefly be in two of them: the slice that changed last counts.
 */
import { BOUNDS, type FoundBackend } from '../registry/registration.ts'
import { foundAt, isText, listOf, objectOf } from './found.ts'

export interface EndpointSlice {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly resourceVersion?: string }
  readonly addressType?: string
  readonly endpoints?: readonly Endpoint[] | null
  readonly ports?: readonly EndpointPort[] | null
}

export interface Endpoint {
  readonly addresses: readonly string[]
  /** Null or missing means ready, by the API's definition. */
  readonly conditions?: {
    readonly ready?: boolean | null
    readonly serving?: boolean | null
    readonly terminating?: boolean | null
  }
  readonly zone?: string | null
  readonly targetRef?: { readonly uid?: string; readonly name?: string } | null
}

export interface EndpointPort {
  readonly name?: string | null
  readonly port?: number | null
  readonly protocol?: string | null
}

interface FoundEndpoint {
  readonly backend: FoundBackend
  /** Shutting down, but still serving: used only where there is no other endpoint. */
  readonly terminating: boolean
}

/** Reads a slice from the API server; undefined for anything else. Only the members in use are kept. */
export function readSlice(value: unknown): EndpointSlice | undefined {
  const slice = objectOf(value)
  const { name, resourceVersion } = objectOf(slice?.['metadata']) ?? {}
  if (!slice || !isText(name)) return undefined
  return {
    metadata: { name, ...(isText(resourceVersion) ? { resourceVersion } : {}) },
    ...(isText(slice['addressType']) ? { addressType: slice['addressType'] } : {}),
    endpoints: listOf(slice['endpoints']).flatMap((endpoint) => readEndpoint(endpoint) ?? []),
    ports: listOf(slice['ports']).flatMap((port) => readPort(port) ?? []),
  }
}

function readEndpoint(value: unknown): Endpoint | undefined {
  const { addresses, conditions, zone, targetRef } = objectOf(value) ?? {}
  const { uid, name } = objectOf(targetRef) ?? {}
  return {
    addresses: listOf(addresses).filter(isText),
    conditions: flagsOf(objectOf(conditions) ?? {}),
    ...(isText(zone) ? { zone } : {}),
    targetRef: { ...(isText(uid) ? { uid } : {}), ...(isText(name) ? { name } : {}) },
  }
}

function flagsOf({ ready, serving, terminating }: Readonly<Record<string, unknown>>) {
  const flags = Object.entries({ ready, serving, terminating })
  return Object.fromEntries(flags.filter(([, flag]) => typeof flag === 'boolean'))
}

function readPort(value: unknown): EndpointPort | undefined {
  const { name, port, protocol } = objectOf(value) ?? {}
  return {
    ...(isText(name) ? { name } : {}),
    ...(typeof port === 'number' ? { port } : {}),
    ...(isText(protocol) ? { protocol } : {}),
  }
}

/** `slices`: the one that changed last comes last. `port`: number or name; undefined: the first TCP port. */
export function backendsOf(
  slices: Iterable<EndpointSlice>,
  port: number | string | undefined,
): FoundBackend[] {
  const placed = new Map<string, FoundEndpoint>()
  for (const slice of slices) {
    const number = portOf(slice.ports ?? [], port)
    if (number === undefined || slice.addressType === 'FQDN') continue
    for (const endpoint of slice.endpoints ?? []) {
      const found = placedAt(endpoint, number)
      if (!found) continue
      placed.delete(found.backend.url)
      placed.set(found.backend.url, found)
    }
  }
  const all = [...placed.values()]
  const ready = all.filter(({ terminating }) => !terminating)
  return (ready.length > 0 ? ready : all).slice(0, BOUNDS.backends).map(({ backend }) => backend)
}

function placedAt(
  { addresses, conditions, zone, targetRef }: Endpoint,
  port: number,
): FoundEndpoint | undefined {
  // All addresses of an endpoint are the same pod: the first is the one to use.
  const [address] = addresses
  const terminating = conditions?.terminating === true
  const isReady = terminating
    ? (conditions?.serving ?? conditions?.ready ?? false)
    : (conditions?.ready ?? true)
  if (address === undefined || !isReady) return undefined
  const { uid, name } = targetRef ?? {}
  const backend = foundAt({ host: address, port, zone, instance: uid, pod: name })
  return backend && { backend, terminating }
}

function portOf(ports: readonly EndpointPort[], wanted: number | string | undefined): number | undefined {
  if (typeof wanted === 'number') return wanted
  const tcp = ports.filter(({ protocol }) => (protocol ?? 'TCP') === 'TCP')
  const found = wanted === undefined ? tcp[0] : tcp.find(({ name }) => name === wanted)
  return found?.port ?? undefined
}
