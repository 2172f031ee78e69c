/** A gateway as it runs in a pod: in a namespace of its own, with the service account, the rights and the token of the guide. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import type { SettingsInput } from '../../../src/config/schema.ts'
import type { Gateway } from '../../suite/gateway.ts'
import { ROOT } from '../../suite/places.ts'
import type { Session } from '../../suite/session.ts'
import type { Cluster, ClusterAddress, KubernetesObject } from './cluster.ts'

const GUIDE = join(ROOT, 'docs', 'guide', 'kubernetes.md')
/** The namespace of the guide. */
const GUIDED = 'ml'
/** Where a pod finds the token of its service account. */
const MOUNTED = '/var/run/secrets/kubernetes.io/serviceaccount'

/** The gateway's service account in a namespace. */
export interface Account {
  readonly namespace: string
  /** Of its files. */
  readonly folder: string
}

export interface Pod extends Account {
  readonly gateway: Gateway
}

export function newAccount(session: Session, namespace: string): Account {
  const folder = join(session.folder, `account-${namespace}`)
  mkdirSync(folder)
  return { namespace, folder }
}

/** Starts the gateway; the files of its account are read when it first asks the API server. */
export async function startPod(
  session: Session,
  { url }: ClusterAddress,
  account: Account,
  settings: SettingsInput,
): Promise<Pod> {
  const { hostname, port } = new URL(url)
  const mount = `mount -t tmpfs none /var/run && mkdir -p ${MOUNTED} && mount --bind "$0" ${MOUNTED} && exec "$@"`
  const gateway = await session.gateway({
    name: account.namespace,
    upstream: url,
    settings,
    launcher: ['unshare', '--map-root-user', '--mount', 'sh', '-c', mount, account.folder],
    env: { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port },
  })
  return { ...account, gateway }
}

/** The objects of the guide, in the order in which they stand there, and the token that they give rights to. */
export async function grantRights(cluster: Cluster, { namespace, folder }: Account): Promise<void> {
  await cluster.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  const [manifest = ''] = /```yaml\napiVersion: v1\n[^`]+/.exec(readFileSync(GUIDE, 'utf8')) ?? []
  const ours = manifest.replace('```yaml\n', '').replaceAll(`namespace: ${GUIDED}`, `namespace: ${namespace}`)
  for (const document of parseAllDocuments(ours)) await cluster.create(document.toJS() as KubernetesObject)
  writeFileSync(join(folder, 'ca.crt'), cluster.ca)
  await renewToken(cluster, { namespace, folder }, 'first')
}

/** A token bound to a secret, so that it ends with the secret, as a pod's ends with the pod. */
export async function renewToken(
  cluster: Cluster,
  { namespace, folder }: Account,
  secret: string,
): Promise<void> {
  await cluster.create({ apiVersion: 'v1', kind: 'Secret', metadata: { name: secret, namespace } })
  const account = `/api/v1/namespaces/${namespace}/serviceaccounts/infergate`
  const bound = await cluster.ask('POST', `${account}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { boundObjectRef: { kind: 'Secret', apiVersion: 'v1', name: secret } },
  })
  writeFileSync(join(folder, 'token'), (bound as { status: { token: string } }).status.token)
}
