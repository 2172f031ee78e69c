/**
 * A pod that discovers and scales: that its rights are enough, and not one more than what it asks for; that it is over before the
 * kubelet would kill it.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { eventually } from '../../interop/suite/eventually.ts'
import type { Session } from '../../interop/suite/session.ts'
import { createDeployment, hasReplicas } from '../../interop/systems/kubernetes/deployment.ts'
import { hostAddress } from '../../interop/systems/kubernetes/discovery.ts'
import { createAuthority } from './authority.ts'
import { type Audited, SERVED } from './cluster.ts'
import type { Helm } from './helm.ts'
import { CHART } from './places.ts'
import type { Pod } from './pod.ts'
import { endpointSlice, installRelease, type Release, tlsSecret } from './release.ts'

const NAMESPACE = 'scaling'
const GROUP = 'a pod that discovers and scales'
/** The gateway writes nothing in its first 20 s. */
const WRITTEN = { timeoutMs: 90_000 }
const SOON = { timeoutMs: 30_000 }
const PREDICT = '/v1/models/ranker:predict'
/** Seconds that are in the grace period for what ends behind the calls. */
const REST_S = 15

export async function tryScalingPod(session: Session, helm: Helm, audited: Audited): Promise<void> {
  const { api, cluster } = audited
  const release = await installRelease(session, helm, audited, {
    namespace: NAMESPACE,
    file: join(CHART, 'ci', 'discovery-values.yaml'),
    set: {
      'config.server.drainTimeout': '4s',
      'config.server.shutdownDelay': '2s',
      // There is no Redis.
      'config.cache.tiers': [{ name: 'memory', type: 'memory' }],
    },
  })
  const { issue } = createAuthority(session.folder, 'callers')
  await api.apply(tlsSecret(NAMESPACE, 'infergate-tls', issue('infergate')))
  const data = { password: Buffer.from('secret').toString('base64') }
  await api.apply({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'redis', namespace: NAMESPACE },
    data,
  })
  await createDeployment(cluster, SERVED)
  const server = await startModelServer(session)
  const pod = await release.start()
  await session.check(GROUP, 'an endpoint of the service gets calls, over TLS', async () => {
    await api.apply(endpointSlice('ranker', server.port))
    return eventually(() => serves(release), SOON)
  })
  await session.check(GROUP, 'the Deployment has as many replicas as it wants', () =>
    eventually(() => hasReplicas(cluster, SERVED, 2), WRITTEN),
  )
  await session.check(GROUP, 'the roles grant what it asked for, and nothing else', () => rights(audited))
  await tryEnd(session, release, pod, server)
}

async function serves(release: Release): Promise<undefined> {
  const { status, body } = await release.ask('http', PREDICT, { instances: [Math.random()] })
  if (status !== 200) throw new Error(`it was answered ${status} ${body}`)
  return undefined
}

interface Role {
  readonly metadata: { readonly name: string }
  readonly rules: readonly {
    readonly apiGroups: readonly string[]
    readonly resources: readonly string[]
    readonly resourceNames?: readonly string[]
    readonly verbs: readonly string[]
  }[]
}

/** Every verb of every rule against what the API server was asked. */
async function rights({ api, asked }: Audited): Promise<string | undefined> {
  const roles = `/apis/rbac.authorization.k8s.io/v1/namespaces/${SERVED}/roles`
  const { items } = (await api.ask('GET', roles)) as { items: readonly Role[] }
  const granted = new Set(
    items
      .filter(({ metadata }) => metadata.name.startsWith(`infergate-${NAMESPACE}-`))
      .flatMap(({ rules }) => rules)
      .flatMap(({ verbs, apiGroups, resources, resourceNames = [''] }) =>
        verbs.flatMap((verb) =>
          resourceNames.map((name) => `${verb} ${apiGroups.join()}/${resources.join()} ${name}`.trim()),
        ),
      ),
  )
  const [unused, missing] = [granted.difference(asked()), asked().difference(granted)]
  if (unused.size === 0 && missing.size === 0) return undefined
  return `granted and not asked for: ${[...unused].join() || 'none'}; asked for and not granted: ${[...missing].join() || 'none'}`
}

interface ModelServer {
  readonly port: number
  /** Calls for negative numbers, which wait until they are answered here. */
  readonly held: ServerResponse[]
}

async function startModelServer(session: Session): Promise<ModelServer> {
  const held: ServerResponse[] = []
  const server = createServer((request, response) => {
    const answered = (body: string) => (body.includes('[-') ? void held.push(response) : answer(response))
    text(request).then(answered, () => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, hostAddress(), resolve))
  session.owns({
    async stop() {
      server.closeAllConnections()
      server.close()
    },
  })
  return { port: (server.address() as AddressInfo).port, held }
}

function answer(response: ServerResponse): void {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ predictions: [1] }))
}

async function tryEnd(session: Session, release: Release, pod: Pod, { held }: ModelServer): Promise<void> {
  const { terminationGracePeriodSeconds, containers } = release.spec
  const preStop = containers[0]?.lifecycle?.preStop.sleep.seconds ?? 0
  const calls = [-1, -2].map((number) => release.ask('http', PREDICT, { instances: [number] }).catch(String))
  await eventually(() => assert(held.length === 2, 'the calls have not arrived'), SOON)
  const begun = performance.now()
  pod.terminate()
  await session.check(GROUP, 'after SIGTERM it is not ready, and still takes calls', async () => {
    await eventually(
      async () => assert((await release.ask('admin', '/readyz')).status === 503, 'it is ready'),
      SOON,
    )
    return serves(release)
  })
  await session.check(GROUP, 'a call that ran is answered', async () => {
    answer(held[0] as ServerResponse)
    const first = await Promise.race(calls)
    return typeof first === 'string' ? first : first.status === 200 ? undefined : `it was ${first.status}`
  })
  await session.check(GROUP, 'one that would run on does not outlast the grace period', async () => {
    await eventually(() => assert(pod.server.ended() !== undefined, 'it runs'), { timeoutMs: 60_000 })
    const seconds = (performance.now() - begun) / 1000
    await Promise.all(calls)
    const allowed = terminationGracePeriodSeconds - preStop
    session.say(`it ended ${seconds.toFixed(1)} s after SIGTERM, of ${allowed} s that it had`)
    if (pod.server.ended() !== 0) return `it ended with ${pod.server.ended()}`
    return seconds > allowed - REST_S + 5 ? `it took ${seconds} s of ${allowed} s` : undefined
  })
}

function assert(isSo: boolean, otherwise: string): void {
  if (!isSo) throw new Error(otherwise)
}
