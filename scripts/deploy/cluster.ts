/** A real API server that writes down who asked it for what, and asks the admin API for external metrics. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Session } from '../../interop/suite/session.ts'
import { type Cluster, freeAddress, startCluster } from '../../interop/systems/kubernetes/cluster.ts'
import { clusterPrograms } from '../../interop/systems/kubernetes/programs.ts'
import { type Apiserver, apiserverOf } from './apiserver.ts'
import { createAuthority } from './authority.ts'
import { type Definition, define } from './definitions.ts'

/** Where the model servers of the examples are. */
export const SERVED = 'ml'

export interface Audited {
  readonly cluster: Cluster
  /** As its administrator. */
  readonly api: Apiserver
  /** Path of its kubeconfig. */
  readonly kubeconfig: string
  /** PEM text of the authority of the certificate with which the API server asks others. */
  readonly frontProxyCa: string
  /** What service accounts asked for, as `verb group/resource/subresource name`, each once. */
  asked(): ReadonlySet<string>
}

export async function startAudited(session: Session, others: readonly Definition[]): Promise<Audited> {
  const programs = await clusterPrograms(session)
  const folder = join(session.folder, 'audit')
  mkdirSync(folder)
  const log = join(folder, 'log')
  const policy = join(folder, 'policy')
  writeFileSync(policy, JSON.stringify(POLICY))
  const frontProxy = createAuthority(folder, 'front-proxy')
  const client = frontProxy.issue('front-proxy-client')
  const cluster = await startCluster(session, programs, await freeAddress(), {
    'audit-policy-file': policy,
    'audit-log-path': log,
    'requestheader-client-ca-file': frontProxy.file,
    'requestheader-allowed-names': 'front-proxy-client',
    'requestheader-username-headers': 'X-Remote-User',
    'requestheader-group-headers': 'X-Remote-Group',
    'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
    'proxy-client-cert-file': client.cert,
    'proxy-client-key-file': client.key,
    // Nothing makes a service's address lead anywhere here: its endpoints are asked.
    'enable-aggregator-routing': 'true',
  })
  const api = apiserverOf(cluster)
  await define(api, others)
  await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: SERVED } })
  const kubeconfig = join(folder, 'kubeconfig')
  writeFileSync(kubeconfig, cluster.kubeconfig, { mode: 0o600 })
  return {
    cluster,
    api,
    kubeconfig,
    frontProxyCa: readFileSync(frontProxy.file, 'utf8'),
    asked: () => askedIn(readFileSync(log, 'utf8')),
  }
}

const POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata', userGroups: ['system:serviceaccounts'] }, { level: 'None' }],
}

interface AuditEvent {
  readonly verb: string
  readonly objectRef?: {
    readonly apiGroup?: string
    readonly resource: string
    readonly subresource?: string
    readonly name?: string
  }
}

function askedIn(log: string): ReadonlySet<string> {
  const events = log
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as AuditEvent)
  return new Set(
    events.map(({ verb, objectRef }) => {
      if (!objectRef) return verb
      const { apiGroup = '', resource, subresource, name = '' } = objectRef
      const what = [apiGroup, resource, ...(subresource === undefined ? [] : [subresource])].join('/')
      return `${verb} ${what} ${name}`.trim()
    }),
  )
}
