/** A gateway with an external scaler, and in a namespace of the same name the Deployment that KEDA scales by what it says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import type { SettingsInput } from '../../../src/config/schema.ts'
import { type Answer, ask } from '../../suite/ask.ts'
import { json } from '../../suite/exchanges.ts'
import type { Gateway } from '../../suite/gateway.ts'
import { ROOT } from '../../suite/places.ts'
import { freePort } from '../../suite/processes.ts'
import type { Session } from '../../suite/session.ts'
import type { Cluster, KubernetesObject } from '../kubernetes/cluster.ts'
import { createDeployment } from '../kubernetes/deployment.ts'

const GUIDE = join(ROOT, 'docs', 'guide', 'scaling.md')
/** The pool of the guide, and its Deployment. */
const POOL = 'ranker'
const AUTHENTICATION = 'scaler'
/** Longer than a run: only what the gateway pushes can be heard in time. */
const NO_POLLING_S = 600
const LEASE_MS = 600_000

type Certificate = { readonly cert: string; readonly key: string }

export interface ScalerOptions {
  /** Of the gateway, of the namespace, and of the trigger in KEDA. */
  readonly name: string
  /** KEDA asks every second, or is told. */
  readonly trigger: 'external' | 'external-push'
  readonly tls?: Certificate
  /** Fewest replicas that the gateway wants; default 0. */
  readonly min?: number
}

export interface Scaler extends ScalerOptions {
  /** `host:port` of the external scaler. */
  readonly address: string
  gateway: Gateway
}

export async function startScaler(session: Session, options: ScalerOptions): Promise<Scaler> {
  const address = `127.0.0.1:${await freePort()}`
  return { ...options, address, gateway: await startGateway(session, { ...options, address }) }
}

/** Its pool has no backend yet, and no other scales it. */
export function startGateway(
  session: Session,
  { name, address, tls, min = 0 }: Omit<Scaler, 'gateway'>,
): Promise<Gateway> {
  const settings: SettingsInput = {
    cache: { tiers: [] },
    pools: {
      [POOL]: {
        scale: {
          min,
          max: 5,
          emit: [{ type: 'keda', listen: address, ...(tls ? { tls: { certificates: [tls] } } : {}) }],
        },
      },
    },
    routes: [{ pool: POOL }],
  }
  return session.gateway({ name, upstream: '', settings })
}

export async function createScaledObject(
  cluster: Cluster,
  { name, trigger, address, tls }: Scaler,
): Promise<void> {
  await cluster.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  await createDeployment(cluster, name)
  if (tls) await createAuthentication(cluster, name, tls)
  const metadata = { scalerAddress: address, pool: POOL, ...(tls ? { enableTLS: 'true' } : {}) }
  const authenticated = tls ? { authenticationRef: { name: AUTHENTICATION } } : {}
  const { spec, ...guided } = guidedObject()
  await cluster.create({
    ...guided,
    metadata: { name: POOL, namespace: name },
    spec: {
      ...spec,
      pollingInterval: trigger === 'external' ? 1 : NO_POLLING_S,
      triggers: [{ type: trigger, metadata, ...authenticated }],
    },
  })
}

/** The ScaledObject of the guide. */
function guidedObject(): KubernetesObject & { readonly spec: object } {
  const [, manifest = ''] = /```yaml\n(apiVersion: keda[^`]+)/.exec(readFileSync(GUIDE, 'utf8')) ?? []
  return parse(manifest) as KubernetesObject & { readonly spec: object }
}

/** Names the authority that KEDA is to believe. */
async function createAuthentication(
  cluster: Cluster,
  namespace: string,
  { cert }: Certificate,
): Promise<void> {
  const metadata = { name: AUTHENTICATION, namespace }
  const data = { ca: readFileSync(cert, 'base64') }
  await cluster.create({ apiVersion: 'v1', kind: 'Secret', metadata, data })
  await cluster.create({
    apiVersion: 'keda.sh/v1alpha1',
    kind: 'TriggerAuthentication',
    metadata,
    spec: { secretTargetRef: [{ parameter: 'caCert', name: AUTHENTICATION, key: 'ca' }] },
  })
}

/** A call of a client, which waits where the pool is empty. */
export const call = ({ gateway }: Scaler): Promise<Answer> =>
  ask(gateway.url, { path: '/v1/models/ranker:predict', ...json({ instances: [1] }) })

/** As a pod does that has come up. */
export async function register({ gateway }: Scaler, url: string): Promise<void> {
  const body = { url, lease: { ttlMs: LEASE_MS } }
  const path = `/api/v1/pools/${POOL}/backends/pod`
  const { status, body: said } = await ask(gateway.admin, { method: 'PUT', path, ...json(body) })
  if (status !== 201) throw new Error(`the backend was not registered: ${status} ${said.toString()}`)
}

interface ScaledObject {
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
  }
}

/** Throws where a condition of the ScaledObject is not as wanted: `Ready`, `Active`. */
export async function hasConditions(
  cluster: Cluster,
  { name }: Scaler,
  wanted: Readonly<Record<string, 'True' | 'False'>>,
): Promise<undefined> {
  const path = `/apis/keda.sh/v1alpha1/namespaces/${name}/scaledobjects/${POOL}`
  const { status } = (await cluster.ask('GET', path)) as ScaledObject
  const conditions = status?.conditions ?? []
  for (const [type, value] of Object.entries(wanted)) {
    if (!conditions.some((each) => each.type === type && each.status === value))
      throw new Error(`its conditions are ${JSON.stringify(conditions)}`)
  }
  return undefined
}

interface Autoscalers {
  readonly items: readonly { readonly spec: { readonly metrics?: readonly AutoscalerMetric[] } }[]
}

interface AutoscalerMetric {
  readonly external?: {
    readonly metric: { readonly name: string }
    readonly target: { readonly averageValue?: string }
  }
}

/** Throws unless KEDA has made one HorizontalPodAutoscaler, whose only metric is the gateway's number, one a replica. */
export async function hasAutoscaler(cluster: Cluster, { name }: Scaler): Promise<undefined> {
  const path = `/apis/autoscaling/v2/namespaces/${name}/horizontalpodautoscalers`
  const { items } = (await cluster.ask('GET', path)) as Autoscalers
  const metrics = items.flatMap(({ spec }) => spec.metrics ?? [])
  const [external] = metrics.map((metric) => metric.external)
  const isOurs = external?.metric.name === 's0-infergate_scale_desired_replicas'
  if (metrics.length !== 1 || !isOurs || external?.target.averageValue !== '1')
    throw new Error(`its metrics are ${JSON.stringify(metrics)}`)
  return undefined
}
