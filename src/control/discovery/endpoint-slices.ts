/**
 * Merges the EndpointSlices (discovery.k8s.io/v1) of one service into a list of backends. A service has many slices,
 * and an endpoint may briefly be in two of them: the slice that changed last counts.
 */
import { mainAddress } from '../../core/backend.ts'
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
  /** Such as `kubernetes.io/h2c`. */
  readonly appProtocol?: string | null
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
  const { name, port, protocol, appProtocol } = objectOf(value) ?? {}
  return {
    ...(isText(name) ? { name } : {}),
    ...(typeof port === 'number' ? { port } : {}),
    ...(isText(protocol) ? { protocol } : {}),
    ...(isText(appProtocol) ? { appProtocol } : {}),
  }
}

/** `slices`: the one that changed last comes last. `port`: number or name; undefined: the first TCP port that is not for gRPC. */
export function backendsOf(
  slices: Iterable<EndpointSlice>,
  port: number | string | undefined,
): FoundBackend[] {
  const placed = new Map<string, FoundEndpoint>()
  for (const slice of slices) {
    const ports = portsOf(slice.ports ?? [], port)
    if ((ports.port ?? ports.grpcPort) === undefined || slice.addressType === 'FQDN') continue
    for (const endpoint of slice.endpoints ?? []) {
      const found = placedAt(endpoint, ports)
      if (!found) continue
      const at = mainAddress(found.backend)
      placed.delete(at)
      placed.set(at, found)
    }
  }
  const all = [...placed.values()]
  const ready = all.filter(({ terminating }) => !terminating)
  return (ready.length > 0 ? ready : all).slice(0, BOUNDS.backends).map(({ backend }) => backend)
}

function placedAt(
  { addresses, conditions, zone, targetRef }: Endpoint,
  ports: Ports,
): FoundEndpoint | undefined {
  // All addresses of an endpoint are the same pod: the first is the one to use.
  const [address] = addresses
  const terminating = conditions?.terminating === true
  const isReady = terminating
    ? (conditions?.serving ?? conditions?.ready ?? false)
    : (conditions?.ready ?? true)
  if (address === undefined || !isReady) return undefined
  const { uid, name } = targetRef ?? {}
  const backend = foundAt({ host: address, ...ports, zone, instance: uid, pod: name })
  return backend && { backend, terminating }
}

interface Ports {
  readonly port?: number
  readonly grpcPort?: number
}

function portsOf(ports: readonly EndpointPort[], wanted: number | string | undefined): Ports {
  const tcp = ports.filter(({ protocol }) => (protocol ?? 'TCP') === 'TCP')
  const grpcPort = tcp.find(isForGrpc)?.port ?? undefined
  const port = portOf(tcp, wanted)
  if (port === undefined) return {}
  return {
    ...(port === grpcPort ? {} : { port }),
    ...(grpcPort === undefined ? {} : { grpcPort }),
  }
}

function portOf(tcp: readonly EndpointPort[], wanted: number | string | undefined): number | undefined {
  if (typeof wanted === 'number') return wanted
  const found =
    wanted === undefined
      ? (tcp.find((port) => !isForGrpc(port)) ?? tcp[0])
      : tcp.find(({ name }) => name === wanted)
  return found?.port ?? undefined
}

/** As Istio and Knative name ports, and the Gateway API protocols. */
function isForGrpc({ name, appProtocol }: EndpointPort): boolean {
  return /^(?:grpc|h2c)(?:-|$)/.test(name ?? '') || /^(?:grpc|kubernetes\.io\/h2c)$/i.test(appProtocol ?? '')
}
