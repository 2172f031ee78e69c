/** A release of the chart of which one pod runs on this machine. */
import { readFileSync } from 'node:fs'
import { request as plainRequest, type RequestOptions } from 'node:http'
import { request as tlsRequest } from 'node:https'
import { text } from 'node:stream/consumers'
import { freePorts } from '../../interop/suite/processes.ts'
import type { Session } from '../../interop/suite/session.ts'
import { hostAddress } from '../../interop/systems/kubernetes/discovery.ts'
import type { Certificate } from './authority.ts'
import { type Audited, SERVED } from './cluster.ts'
import type { Helm } from './helm.ts'
import { type Pod, startPod } from './pod.ts'
import type { Container, PodSpec, Probe } from './pod-spec.ts'

const DEADLINE_MS = 60_000

export interface ReleaseOptions {
  readonly namespace: string
  /** The example whose values it has; those of the chart alone, where none is named. */
  readonly file?: string
  /** Values besides the ports. */
  readonly set?: Readonly<Record<string, unknown>>
}

export interface Release {
  readonly spec: PodSpec
  /** What it answered from outside of the pod. */
  ask(port: 'http' | 'admin', path: string, body?: unknown): Promise<{ status: number; body: string }>
  /** Resolves when it is ready. */
  start(): Promise<Pod>
}

/** Installs it; secrets and ConfigMaps of its namespace can be made before it starts. Its ports are free ones. */
export async function installRelease(
  session: Session,
  helm: Helm,
  audited: Audited,
  { namespace, file, set = {} }: ReleaseOptions,
): Promise<Release> {
  const { api, cluster, kubeconfig } = audited
  const [http, admin] = await freePorts(2)
  const listeners = { 'config.server.listen': `0.0.0.0:${http}`, 'config.admin.listen': `0.0.0.0:${admin}` }
  await helm.install({ file, namespace, set: { ...set, ...listeners } }, kubeconfig)
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments/infergate`
  const { spec } = (await api.ask('GET', path)) as { spec: { template: { spec: PodSpec } } }
  const pod = spec.template.spec
  const [container] = pod.containers as readonly [Container]
  const { httpGet } = container.readinessProbe
  const isSecure = { http: pod.volumes.some(({ name }) => name === 'tls'), admin: httpGet.scheme === 'HTTPS' }
  const ask: Release['ask'] = (port, path, body) =>
    askPort({ port: portOf(container, port), isSecure: isSecure[port], path, body })
  return {
    spec: pod,
    ask,
    async start() {
      const account = `/api/v1/namespaces/${namespace}/serviceaccounts/${pod.serviceAccountName}/token`
      const token = (await api.ask('POST', account, TOKEN_REQUEST)) as { status: { token: string } }
      return startPod(
        session,
        {
          api,
          url: cluster.url,
          namespace,
          spec: pod,
          account: { token: token.status.token, ca: cluster.ca },
        },
        () => answersProbe(ask, container.readinessProbe),
      )
    },
  }
}

const TOKEN_REQUEST = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }

/** As the kubelet asks: at the pod's address, whatever the certificate. */
const answersProbe = async (ask: Release['ask'], { httpGet }: Probe): Promise<boolean> =>
  (await ask(httpGet.port as 'admin', httpGet.path)).status === 200

export function portOf({ ports }: Container, name: string): number {
  const port = ports.find((one) => one.name === name)
  if (!port) throw new Error(`the pod has no port ${name}`)
  return port.containerPort
}

interface PortCall {
  readonly port: number
  readonly isSecure: boolean
  readonly path: string
  readonly body?: unknown
}

/** On a connection of its own, at the address that others reach. */
function askPort({ port, isSecure, path, body }: PortCall): Promise<{ status: number; body: string }> {
  const options: RequestOptions = {
    host: hostAddress(),
    port,
    path,
    method: body === undefined ? 'GET' : 'POST',
    agent: false,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    signal: AbortSignal.timeout(DEADLINE_MS),
  }
  return new Promise((resolve, reject) => {
    const sent = isSecure ? tlsRequest({ ...options, rejectUnauthorized: false }) : plainRequest(options)
    sent.on('error', reject)
    sent.on('response', (response) => {
      const answered = (body: string) => resolve({ status: response.statusCode ?? 0, body })
      text(response).then(answered, reject)
    })
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

/** A secret as cert-manager makes it. */
export const tlsSecret = (namespace: string, name: string, { cert, key }: Certificate) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  type: 'kubernetes.io/tls',
  metadata: { name, namespace },
  data: { 'tls.crt': readFileSync(cert, 'base64'), 'tls.key': readFileSync(key, 'base64') },
})

/** The endpoints of a service: one port of this machine. */
export const endpointSlice = (service: string, port: number, { namespace = SERVED, name = 'http' } = {}) => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: {
    name: `${service}-1`,
    namespace,
    labels: { 'kubernetes.io/service-name': service },
  },
  addressType: 'IPv4',
  endpoints: [{ addresses: [hostAddress()], conditions: { ready: true } }],
  ports: [{ name, port, protocol: 'TCP' }],
})
