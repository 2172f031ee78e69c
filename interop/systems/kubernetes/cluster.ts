/** A Kubernetes API server on etcd: no nodes and no controllers, but the real API with its access rights. */
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { answers, ask } from '../../suite/ask.ts'
import { freePorts } from '../../suite/processes.ts'
import type { Server, Session } from '../../suite/session.ts'
import type { ClusterPrograms } from './programs.ts'

const ADMIN = 'admin-token'
const DEADLINE_MS = 30_000

export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly resourceVersion?: string }
  readonly [member: string]: unknown
}

export interface KubernetesAnswer {
  readonly status: number
  readonly body: unknown
}

/** Where a cluster is to be; known before it runs, so that gateways can be started for it. */
export interface ClusterAddress {
  /** Of the API server. */
  readonly url: string
  readonly etcd: string
  readonly etcdPeers: string
}

export interface Cluster {
  readonly url: string
  /** PEM text of the certificate authority. */
  readonly ca: string
  /** With the rights of the administrator. */
  readonly kubeconfig: string
  readonly apiserver: Server
  /** As the administrator; rejects where the server refuses. */
  ask(method: string, path: string, body?: unknown): Promise<unknown>
  create(object: KubernetesObject): Promise<void>
  /** Forgets the history of all objects, so that a watch cannot go on from before. */
  compact(): Promise<void>
}

export async function freeAddress(): Promise<ClusterAddress> {
  const [api, etcd, peers] = await freePorts(3)
  return {
    url: `https://127.0.0.1:${api}`,
    etcd: `http://127.0.0.1:${etcd}`,
    etcdPeers: `http://127.0.0.1:${peers}`,
  }
}

/** @param flags further options of the API server, by their names */
export async function startCluster(
  session: Session,
  programs: ClusterPrograms,
  address: ClusterAddress,
  flags: Readonly<Record<string, string>> = {},
): Promise<Cluster> {
  const { url, etcd } = address
  await startEtcd(session, programs.etcd, address)
  const folder = join(session.folder, 'kubernetes')
  const certificate = join(folder, 'certs', 'apiserver.crt')
  writeSecrets(folder)
  // The server makes its certificate itself, and appends the authority that has signed it.
  const ca = () => readFileSync(certificate, 'utf8')
  const call = (method: string, path: string, body?: unknown) =>
    askApiserver(new URL(path, url), { method, token: ADMIN, ca: ca(), body })
  const apiserver = await session.start(
    {
      name: 'kube-apiserver',
      command: programs.apiserver,
      args: apiserverOptions(folder, address, flags),
      ready: async () => (await call('GET', '/readyz')).status === 200,
    },
    'kube-apiserver --authorization-mode=RBAC --etcd-servers=http://127.0.0.1:2379',
  )
  const asked = async (method: string, path: string, body?: unknown) => {
    const answer = await call(method, path, body)
    if (answer.status < 300) return answer.body
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  }
  return {
    url,
    ca: ca(),
    kubeconfig: kubeconfig(url, ca()),
    apiserver,
    ask: asked,
    create: async (object) => void (await asked('POST', collection(object), object)),
    compact: () => compact(etcd),
  }
}

function startEtcd(
  session: Session,
  command: string,
  { etcd, etcdPeers: peers }: ClusterAddress,
): Promise<Server> {
  return session.start({
    name: 'etcd',
    command,
    args: [
      ...['--data-dir', join(session.folder, 'etcd')],
      ...['--listen-client-urls', etcd, '--advertise-client-urls', etcd],
      ...['--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers],
      ...['--initial-cluster', `default=${peers}`],
    ],
    ready: () => answers(etcd, '/health'),
  })
}

function writeSecrets(folder: string): void {
  mkdirSync(join(folder, 'certs'), { recursive: true })
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  })
  writeFileSync(join(folder, 'accounts.key'), privateKey)
  writeFileSync(join(folder, 'accounts.pub'), publicKey)
  writeFileSync(join(folder, 'tokens.csv'), `${ADMIN},admin,1,system:masters\n`)
}

function apiserverOptions(
  folder: string,
  { url, etcd }: ClusterAddress,
  flags: Readonly<Record<string, string>>,
): string[] {
  return Object.entries({
    'etcd-servers': etcd,
    'secure-port': new URL(url).port,
    'bind-address': '127.0.0.1',
    'advertise-address': '127.0.0.1',
    'cert-dir': join(folder, 'certs'),
    'service-account-issuer': 'https://kubernetes.default.svc',
    'service-account-key-file': join(folder, 'accounts.pub'),
    'service-account-signing-key-file': join(folder, 'accounts.key'),
    'authorization-mode': 'RBAC',
    'token-auth-file': join(folder, 'tokens.csv'),
    'service-cluster-ip-range': '10.0.0.0/24',
    'disable-admission-plugins': 'ServiceAccount',
    'endpoint-reconciler-type': 'none',
    // Watches are served from memory otherwise, which hides that etcd has forgotten.
    'etcd-compaction-interval': '0',
    ...flags,
  }).map(([name, value]) => `--${name}=${value}`)
}

/** JSON is YAML as well. */
const kubeconfig = (server: string, ca: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'local',
        cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') },
      },
    ],
    users: [{ name: 'admin', user: { token: ADMIN } }],
    contexts: [{ name: 'local', context: { cluster: 'local', user: 'admin' } }],
    'current-context': 'local',
  })

/** By etcd's JSON gateway: the newest revision, and then everything before it is forgotten. */
async function compact(etcd: string): Promise<void> {
  const post = (path: string, body: unknown) => ask(etcd, { path, body: JSON.stringify(body) })
  const read = await post('/v3/kv/range', { key: Buffer.from('any').toString('base64') })
  const { header } = JSON.parse(read.body.toString()) as { header: { revision: string } }
  const done = await post('/v3/kv/compaction', { revision: header.revision, physical: true })
  if (done.status !== 200) throw new Error(`etcd: ${done.status} ${done.body.toString()}`)
}

/** The path under which objects of a kind are created. */
function collection({ apiVersion, kind, metadata }: KubernetesObject): string {
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const within = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`
  return `${group}${within}/${kind.toLowerCase()}s`
}

interface ApiserverCall {
  readonly method: string
  readonly token: string
  readonly ca: string
  readonly body?: unknown
}

function askApiserver(url: URL, { method, token, ca, body }: ApiserverCall): Promise<KubernetesAnswer> {
  return new Promise((resolve, reject) => {
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    const sent = request(url, {
      method,
      ca,
      agent: false,
      headers: { authorization: `Bearer ${token}`, 'content-type': type },
      signal: AbortSignal.timeout(DEADLINE_MS),
    })
    sent.on('error', reject)
    sent.on('response', (response) => {
      const answered = (body: string) => resolve({ status: response.statusCode ?? 0, body: readBody(body) })
      text(response).then(answered, reject)
    })
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

function readBody(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return body
  }
}
