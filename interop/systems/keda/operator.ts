/** KEDA's operator: its kinds in a cluster, and its process. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { answers } from '../../suite/ask.ts'
import { eventually } from '../../suite/eventually.ts'
import { freePorts } from '../../suite/processes.ts'
import type { Server, Session } from '../../suite/session.ts'
import { certificate } from '../certificate.ts'
import { downloaded, goProgramsOfModule } from '../go.ts'
import type { Cluster, KubernetesObject } from '../kubernetes/cluster.ts'

const VERSION = '2.21.0'
const KEDA = { module: 'github.com/kedacore/keda/v2', version: `v${VERSION}` }
const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
/** It looks at all namespaces. */
export const KEDA_ENVIRONMENT = {
  WATCH_NAMESPACE: '',
  POD_NAMESPACE: 'default',
  KEDA_CLUSTER_OBJECT_NAMESPACE: 'default',
}
const ESTABLISHED = { timeoutMs: 60_000 }

export interface KedaPrograms {
  readonly operator: string
  readonly metricsServer: string
  /** A folder of its CustomResourceDefinitions. */
  readonly definitions: string
}

/**
 * Both have the clients of every cloud in them, so the first time takes long. Rejects with NotInstalled where they cannot
 * be built.
 */
export async function kedaPrograms(session: Session): Promise<KedaPrograms> {
  const packages = ['cmd/operator', 'cmd/adapter']
  const bin = await goProgramsOfModule({ ...KEDA, packages }, session.say)
  const { Dir } = await downloaded(KEDA)
  session.uses('KEDA', VERSION)
  const definitions = join(Dir, 'config', 'crd', 'bases')
  return { operator: join(bin, 'operator'), metricsServer: join(bin, 'adapter'), definitions }
}

export interface Operator {
  readonly server: Server
  /** `host:port` where it tells metrics to KEDA's metrics server, to whoever has the certificate. */
  readonly metrics: string
  /** Of the certificate: `tls.crt`, `tls.key`, `ca.crt`. */
  readonly certificates: string
  readonly kubeconfig: string
}

export async function startOperator(
  session: Session,
  cluster: Cluster,
  { operator, definitions }: KedaPrograms,
): Promise<Operator> {
  await define(cluster, definitions)
  const certificates = join(session.folder, 'operator')
  mkdirSync(certificates)
  const kubeconfig = join(certificates, 'kubeconfig')
  writeFileSync(kubeconfig, cluster.kubeconfig)
  const { cert } = certificate(certificates)
  copyFileSync(cert, join(certificates, 'ca.crt'))
  const [probes, port] = await freePorts(2)
  const metrics = `127.0.0.1:${port}`
  const server = await session.start(
    {
      name: "KEDA's operator",
      command: operator,
      args: [
        ...['--kubeconfig', kubeconfig, '--cert-dir', certificates, '--enable-prometheus-metrics=false'],
        `--health-probe-bind-address=127.0.0.1:${probes}`,
        `--metrics-service-bind-address=${metrics}`,
      ],
      env: KEDA_ENVIRONMENT,
      ready: () => answers(`http://127.0.0.1:${probes}`, '/readyz'),
    },
    'keda-operator --kubeconfig FILE --cert-dir FOLDER',
  )
  return { server, metrics, certificates, kubeconfig }
}

interface Definition {
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
  }
}

/** Creates the kinds, and waits until the API server serves them. */
async function define(cluster: Cluster, folder: string): Promise<void> {
  const files = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
  const objects = files.map((file) => parse(file) as KubernetesObject)
  await Promise.all(objects.map((object) => cluster.create(object)))
  const established = async ({ metadata: { name } }: KubernetesObject) => {
    const { status } = (await cluster.ask('GET', `${DEFINITIONS}/${name}`)) as Definition
    if (!status?.conditions?.some((each) => each.type === 'Established' && each.status === 'True'))
      throw new Error(`${name} is not established`)
  }
  for (const object of objects) await eventually(() => established(object), ESTABLISHED)
}
