/**
 * EndpointSlices (discovery.k8s.io/v1) of one service as one list of backends. A service has many slices, and for a
 * moment an endpoint may stand in two of them: the slice that changed last is right.
 */
import { BOUNDS, type FoundBackend } from '../registration.ts'

export interface EndpointSlice {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly resourceVersion?: string }
  readonly addressType?: string
  readonly endpoints?: readonly Endpoint[] | null
  readonly ports?: readonly Port[] | null
}

export interface Endpoint {
  readonly addresses: readonly string[]
  /** Null, or left out, is ready: the API says so. */
  readonly conditions?: {
    readonly ready?: boolean | null
    readonly serving?: boolean | null
    readonly terminating?: boolean | null
  }
  readonly zone?: string | null
  readonly targetRef?: { readonly uid?: string; readonly name?: string } | null
}

export interface Port {
  readonly name?: string | null
  readonly port?: number | null
  readonly protocol?: string | null
}

interface Placed {
  readonly backend: FoundBackend
  /** Going down, but still answering: taken only where nobody else is there. */
  readonly terminating: boolean
}

/** `slices`: the one that changed last comes last. `port`: number or name; undefined: the first TCP port. */
export function backendsOf(
  slices: Iterable<EndpointSlice>,
  port: number | string | undefined,
): FoundBackend[] {
  const placed = new Map<string, Placed>()
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

function placedAt({ addresses, conditions, zone, targetRef }: Endpoint, port: number): Placed | undefined {
  // All addresses of an endpoint are the same pod: the first is the one to use.
  const [address] = addresses
  const terminating = conditions?.terminating === true
  const isReady = terminating
    ? (conditions?.serving ?? conditions?.ready ?? false)
    : (conditions?.ready ?? true)
  if (address === undefined || !isReady) return undefined
  const url = URL.parse(`http://${address.includes(':') ? `[${address}]` : address}:${port}`)
  if (!url) return undefined
  const backend = {
    url: url.origin,
    ...(zone ? { zone } : {}),
    ...(targetRef?.uid ? { instance: targetRef.uid } : {}),
    ...(targetRef?.name ? { labels: { pod: targetRef.name } } : {}),
  }
  return { backend, terminating }
}

function portOf(ports: readonly Port[], wanted: number | string | undefined): number | undefined {
  if (typeof wanted === 'number') return wanted
  const tcp = ports.filter(({ protocol }) => (protocol ?? 'TCP') === 'TCP')
  const found = wanted === undefined ? tcp[0] : tcp.find(({ name }) => name === wanted)
  return found?.port ?? undefined
}
