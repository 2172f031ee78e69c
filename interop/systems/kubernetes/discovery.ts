/** Backends found in EndpointSlices, and what becomes of them while the API server is away. */
import { createServer } from 'node:http'
import { networkInterfaces } from 'node:os'
import type { SettingsInput } from '../../../src/config/schema.ts'
import { ask } from '../../suite/ask.ts'
import { eventually } from '../../suite/eventually.ts'
import type { Gateway } from '../../suite/gateway.ts'
import { NotInstalled } from '../../suite/not-installed.ts'
import type { Session } from '../../suite/session.ts'
import type { Cluster } from './cluster.ts'
import { type Pod, renewToken } from './pod.ts'

const SOON = { timeoutMs: 15_000 }
/** The gateway waits up to 30 s between two tries. */
const LATER = { timeoutMs: 110_000 }

export interface Backend {
  readonly name: string
  readonly port: number
}

interface Discovered {
  readonly cluster: Cluster
  readonly pod: Pod
  readonly backends: readonly [Backend, Backend]
}

export const discovering = (namespace: string): SettingsInput => ({
  cache: { tiers: [] },
  pools: {
    ranker: {
      discovery: [{ type: 'kubernetes', namespace, service: 'ranker', port: 'http' }],
      health: { path: 'tcp', interval: '500ms' },
    },
  },
  routes: [{ pool: 'ranker' }],
})

/** The API server refuses loopback addresses in slices, so backends have one that others could reach. */
export function hostAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const found = all.find(({ family, internal }) => family === 'IPv4' && !internal)
  if (!found)
    throw new NotInstalled('this machine has no address but its loopback, which a slice cannot hold')
  return found.address
}

/** A model server of one answer, which names it. */
export async function startBackend(session: Session, name: string): Promise<Backend> {
  const server = createServer((incoming, outgoing) => {
    incoming.resume().on('end', () => {
      outgoing.setHeader('content-type', 'application/json')
      outgoing.end(JSON.stringify({ predictions: [name] }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, hostAddress(), resolve))
  session.owns({
    async stop() {
      server.closeAllConnections()
      server.close()
    },
  })
  return { name, port: (server.address() as { port: number }).port }
}

export async function tryDiscovery(session: Session, found: Discovered): Promise<void> {
  const { cluster, pod, backends } = found
  const [a, b] = backends
  const { gateway } = pod
  const slices = slicesOf(pod)
  const group = 'discovery'
  await session.check(group, 'a new slice is a backend, and gets calls', async () => {
    await cluster.ask('POST', slices, slice('ranker-1', [{ ...a, ready: true }]))
    return eventually(() => serve(gateway, ['a']), SOON)
  })
  await session.check(group, 'an endpoint of a second slice gets its share', async () => {
    await cluster.ask('POST', slices, slice('ranker-2', [{ ...b, ready: true }]))
    return eventually(() => serve(gateway, ['a', 'b']), SOON)
  })
  await session.check(group, 'one that is not ready gets none', async () => {
    await cluster.ask('PUT', `${slices}/ranker-2`, slice('ranker-2', [{ ...b, ready: false }]))
    return eventually(() => serve(gateway, ['a']), SOON)
  })
  await session.check(group, 'a slice of another service is none of its business', async () => {
    await cluster.ask('POST', slices, slice('other-1', [{ ...b, ready: true }], 'other'))
    await cluster.ask('PUT', `${slices}/ranker-2`, slice('ranker-2', [{ ...b, ready: true }]))
    await eventually(() => serve(gateway, ['a', 'b']), SOON)
    await cluster.ask('DELETE', `${slices}/ranker-2`)
    return eventually(() => serve(gateway, ['a']), SOON)
  })
}

export async function tryAbsence(session: Session, found: Discovered): Promise<void> {
  const { cluster, pod, backends } = found
  const [a, b] = backends
  const { gateway, namespace } = pod
  const slices = slicesOf(pod)
  const group = 'kill -9 of the API server'
  await session.check(group, 'calls go on', async () => {
    await cluster.apiserver.kill()
    return serve(gateway, ['a'])
  })
  await session.check(
    group,
    'what has changed meanwhile is seen, also where its history is gone',
    async () => {
      await cluster.apiserver.start()
      // Between its start and the gateway's next try there is time for a change and a compaction.
      await cluster.ask('PUT', `${slices}/ranker-1`, slice('ranker-1', [{ ...b, ready: true }]))
      await cluster.compact()
      return eventually(() => serve(gateway, ['b']), LATER)
    },
  )
  await session.check(group, 'a token that was replaced is read again', async () => {
    await renewToken(cluster, pod, 'second')
    await cluster.ask('DELETE', `/api/v1/namespaces/${namespace}/secrets/first`)
    await cluster.apiserver.kill()
    await cluster.apiserver.start()
    await cluster.ask('PUT', `${slices}/ranker-1`, slice('ranker-1', [{ ...a, ready: true }]))
    return eventually(() => serve(gateway, ['a']), LATER)
  })
}

const slicesOf = ({ namespace }: Pod): string =>
  `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`

function slice(
  name: string,
  backends: readonly (Backend & { ready: boolean })[],
  service = 'ranker',
): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    endpoints: backends.map(({ ready }) => ({ addresses: [hostAddress()], conditions: { ready } })),
    ports: backends.map(({ port }) => ({ name: 'http', port, protocol: 'TCP' })),
  }
}

/** Throws unless just these answer the next calls. */
async function serve(gateway: Gateway, names: readonly string[]): Promise<undefined> {
  const seen = new Set<string>()
  for (let i = 0; i < 20; i++) {
    const { status, body } = await ask(gateway.url, {
      path: '/v1/models/ranker:predict',
      fields: { 'content-type': 'application/json' },
      body: JSON.stringify({ instances: [i] }),
    })
    seen.add(
      status === 200
        ? String((JSON.parse(body.toString()) as { predictions: string[] }).predictions)
        : `${status}`,
    )
  }
  const got = [...seen].sort().join()
  if (got !== names.join()) throw new Error(`answers came from ${got}, not from ${names.join()}`)
  return undefined
}
