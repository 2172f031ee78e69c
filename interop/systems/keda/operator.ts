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
const ESTABLISHED = { timeoutMs: 60_000 }

export interface OperatorProgram {
  readonly command: string
  /** A folder of its CustomResourceDefinitions. */
  readonly definitions: string
}

/**
 * The operator has the clients of every cloud in it, so the first time takes long. Rejects with NotInstalled where it cannot
 * be built.
 */
export async function operatorProgram(session: Session): Promise<OperatorProgram> {
  const bin = await goProgramsOfModule({ ...KEDA, packages: ['cmd/operator'] }, session.say)
  const { Dir } = await downloaded(KEDA)
  session.uses('KEDA', VERSION)
  return { command: join(bin, 'operator'), definitions: join(Dir, 'config', 'crd', 'bases') }
}

export async function startOperator(
  session: Session,
  cluster: Cluster,
  { command, definitions }: OperatorProgram,
): Promise<Server> {
  await define(cluster, definitions)
  const folder = join(session.folder, 'operator')
  mkdirSync(folder)
  const kubeconfig = join(folder, 'kubeconfig')
  writeFileSync(kubeconfig, cluster.kubeconfig)
  // It answers KEDA's metrics server under TLS only.
  const { cert } = certificate(folder)
  copyFileSync(cert, join(folder, 'ca.crt'))
  const [probes, metrics] = await freePorts(2)
  return session.start(
    {
      name: "KEDA's operator",
      command,
      args: [
        ...['--kubeconfig', kubeconfig, '--cert-dir', folder, '--enable-prometheus-metrics=false'],
        `--health-probe-bind-address=127.0.0.1:${probes}`,
        `--metrics-service-bind-address=127.0.0.1:${metrics}`,
      ],
      // All namespaces.
      env: { WATCH_NAMESPACE: '', POD_NAMESPACE: 'default', KEDA_CLUSTER_OBJECT_NAMESPACE: 'default' },
      ready: () => answers(`http://127.0.0.1:${probes}`, '/readyz'),
    },
    'keda-operator --kubeconfig FILE --cert-dir FOLDER',
  )
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
