/**
 * A Kubernetes API server: the gateway runs as in a pod, with a service account that has the rights of the guide and a
 * token that is replaced, finds its backends in EndpointSlices and scales a Deployment.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import type { SettingsInput } from '../../../src/config/schema.ts'
import { ask } from '../../suite/ask.ts'
import { debianProgram } from '../../suite/debian.ts'
import { eventually } from '../../suite/eventually.ts'
import type { Gateway } from '../../suite/gateway.ts'
import { NotInstalled } from '../../suite/not-installed.ts'
import { ROOT } from '../../suite/places.ts'
import type { Session, System } from '../../suite/session.ts'
import { KUBERNETES, kubeApiserver } from './apiserver.ts'
import { type Cluster, type KubernetesObject, startCluster } from './cluster.ts'

const NAMESPACE = 'ml'
const ACCOUNT = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/infergate`
const SLICES = `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`
const DEPLOYMENT = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/ranker`
const GUIDE = join(ROOT, 'docs', 'guide', 'kubernetes.md')
/** Where a pod finds the token of its service account. */
const MOUNTED = '/var/run/secrets/kubernetes.io/serviceaccount'
const SOON = { timeoutMs: 15_000 }
/** The gateway reads its token anew each minute, and waits up to 30 s between two tries. */
const LATER = { timeoutMs: 110_000, everyMs: 500 }

export const kubernetes: System = {
  name: 'kubernetes',
  title: 'Kubernetes API server on etcd: discovery by EndpointSlices, scaling of a Deployment',
  guide: 'kubernetes.md',
  async run(session) {
    const etcd = await debianProgram('etcd-server', 'usr/bin/etcd', session.say)
    const cluster = await startCluster(session, { etcd, kubeApiserver: await kubeApiserver(session.say) })
    session.uses('kube-apiserver', KUBERNETES)
    await prepare(cluster)
    const backends = [await startBackend(session, 'a'), await startBackend(session, 'b')] as const
    const folder = join(session.folder, 'account')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'ca.crt'), cluster.ca)
    await renewToken(cluster, folder, 'first')
    const gateway = await startInPod(session, cluster, folder)
    const world = { session, cluster, gateway, folder, backends }
    await tryDiscovery(world)
    await tryScaling(world)
    await tryAbsence(world)
  },
}

interface World {
  readonly session: Session
  readonly cluster: Cluster
  readonly gateway: Gateway
  /** Of the service account's files. */
  readonly folder: string
  readonly backends: readonly [Backend, Backend]
}

interface Backend {
  readonly name: string
  readonly port: number
}

/** The objects of the guide, in the order in which they stand there, and the Deployment that is scaled. */
async function prepare(cluster: Cluster): Promise<void> {
  await cluster.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } })
  const [manifest = ''] = /```yaml\napiVersion: v1\n[^`]+/.exec(readFileSync(GUIDE, 'utf8')) ?? []
  for (const document of parseAllDocuments(manifest.replace('```yaml\n', ''))) {
    await cluster.create(document.toJS() as KubernetesObject)
  }
  const labels = { app: 'ranker' }
  await cluster.ask('POST', `/apis/apps/v1/namespaces/${NAMESPACE}/deployments`, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'ranker' },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'server', image: 'ranker:1' }] } },
    },
  })
}

/** The API server refuses loopback addresses in slices, so backends have one that others could reach. */
function hostAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const found = all.find(({ family, internal }) => family === 'IPv4' && !internal)
  if (!found)
    throw new NotInstalled('this machine has no address but its loopback, which a slice cannot hold')
  return found.address
}

/** A model server of one answer, which names it. */
async function startBackend(session: Session, name: string): Promise<Backend> {
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

/** A token bound to a secret, so that it ends with the secret, as a pod's ends with the pod. */
async function renewToken(cluster: Cluster, folder: string, secret: string): Promise<void> {
  await cluster.create({ apiVersion: 'v1', kind: 'Secret', metadata: { name: secret, namespace: NAMESPACE } })
  const bound = await cluster.ask('POST', `${ACCOUNT}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { boundObjectRef: { kind: 'Secret', apiVersion: 'v1', name: secret } },
  })
  writeFileSync(join(folder, 'token'), (bound as { status: { token: string } }).status.token)
}

function startInPod(session: Session, cluster: Cluster, folder: string): Promise<Gateway> {
  const { hostname, port } = new URL(cluster.url)
  const mount = `mount -t tmpfs none /var/run && mkdir -p ${MOUNTED} && mount --bind "$0" ${MOUNTED} && exec "$@"`
  return session.gateway({
    name: 'in-a-pod',
    upstream: cluster.url,
    settings: SETTINGS,
    launcher: ['unshare', '--map-root-user', '--mount', 'sh', '-c', mount, folder],
    env: { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port },
  })
}

const SETTINGS: SettingsInput = {
  cache: { tiers: [] },
  pools: {
    ranker: {
      discovery: [{ type: 'kubernetes', namespace: NAMESPACE, service: 'ranker', port: 'http' }],
      health: { path: 'tcp', interval: '500ms' },
      scale: {
        min: 3,
        max: 5,
        emit: [{ type: 'kubernetes', namespace: NAMESPACE, kind: 'Deployment', name: 'ranker' }],
      },
    },
  },
  routes: [{ pool: 'ranker' }],
}

async function tryDiscovery({ session, cluster, gateway, backends: [a, b] }: World): Promise<void> {
  const group = 'discovery'
  await session.check(group, 'a new slice is a backend, and gets calls', async () => {
    await cluster.ask('POST', SLICES, slice('ranker-1', [{ ...a, ready: true }]))
    return eventually(() => serve(gateway, ['a']), SOON)
  })
  await session.check(group, 'an endpoint of a second slice gets its share', async () => {
    await cluster.ask('POST', SLICES, slice('ranker-2', [{ ...b, ready: true }]))
    return eventually(() => serve(gateway, ['a', 'b']), SOON)
  })
  await session.check(group, 'one that is not ready gets none', async () => {
    await cluster.ask('PUT', `${SLICES}/ranker-2`, slice('ranker-2', [{ ...b, ready: false }]))
    return eventually(() => serve(gateway, ['a']), SOON)
  })
  await session.check(group, 'a slice of another service is none of its business', async () => {
    await cluster.ask('POST', SLICES, slice('other-1', [{ ...b, ready: true }], 'other'))
    await cluster.ask('PUT', `${SLICES}/ranker-2`, slice('ranker-2', [{ ...b, ready: true }]))
    await eventually(() => serve(gateway, ['a', 'b']), SOON)
    await cluster.ask('DELETE', `${SLICES}/ranker-2`)
    return eventually(() => serve(gateway, ['a']), SOON)
  })
}

async function tryScaling({ session, cluster }: World): Promise<void> {
  const group = 'scaling'
  await session.check(group, 'the Deployment has as many replicas as the gateway wants', () =>
    eventually(() => replicas(cluster, 3), { timeoutMs: 60_000 }),
  )
  await session.check(group, 'a number that somebody else has written is written over', async () => {
    await cluster.ask('PATCH', DEPLOYMENT, { spec: { replicas: 1 } })
    return eventually(() => replicas(cluster, 3), { timeoutMs: 60_000 })
  })
  await session.check(
    group,
    'where a HorizontalPodAutoscaler has the same target it writes nothing',
    async () => {
      await cluster.ask('POST', `/apis/autoscaling/v2/namespaces/${NAMESPACE}/horizontalpodautoscalers`, {
        apiVersion: 'autoscaling/v2',
        kind: 'HorizontalPodAutoscaler',
        metadata: { name: 'ranker' },
        spec: {
          maxReplicas: 9,
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'ranker' },
        },
      })
      await cluster.ask('PATCH', DEPLOYMENT, { spec: { replicas: 7 } })
      await eventually(() => isLogged(session, 'scales the same object'), { timeoutMs: 60_000 })
      await replicas(cluster, 7)
      return undefined
    },
  )
}

async function tryAbsence({ session, cluster, gateway, folder, backends: [a, b] }: World): Promise<void> {
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
      await cluster.ask('PUT', `${SLICES}/ranker-1`, slice('ranker-1', [{ ...b, ready: true }]))
      await cluster.compact()
      return eventually(() => serve(gateway, ['b']), LATER)
    },
  )
  await session.check(group, 'a token that was replaced is read again', async () => {
    await renewToken(cluster, folder, 'second')
    await cluster.ask('DELETE', `/api/v1/namespaces/${NAMESPACE}/secrets/first`)
    await cluster.apiserver.kill()
    await cluster.apiserver.start()
    await cluster.ask('PUT', `${SLICES}/ranker-1`, slice('ranker-1', [{ ...a, ready: true }]))
    return eventually(() => serve(gateway, ['a']), LATER)
  })
}

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

async function replicas(cluster: Cluster, wanted: number): Promise<undefined> {
  const { spec } = (await cluster.ask('GET', DEPLOYMENT)) as { spec: { replicas: number } }
  if (spec.replicas !== wanted) throw new Error(`it has ${spec.replicas} replicas, not ${wanted}`)
  return undefined
}

function isLogged(session: Session, words: string): void {
  if (!readFileSync(join(session.folder, 'gateway-in-a-pod.log'), 'utf8').includes(words))
    throw new Error(`the log does not say "${words}"`)
}
