/**
 * What scales beyond one: Kubernetes' controller of HorizontalPodAutoscalers, which asks KEDA's metrics server behind the API
 * server, which asks the operator, which asks the gateway.
 */
import { join } from 'node:path'
import { freePorts, listens } from '../../suite/processes.ts'
import type { Session } from '../../suite/session.ts'
import { EXTERNAL_METRICS, serveExternalMetrics, startControllerManager } from '../kubernetes/autoscaling.ts'
import type { Cluster } from '../kubernetes/cluster.ts'
import { KEDA_ENVIRONMENT, type Operator } from './operator.ts'

const READERS = 'external-metrics-readers'

/** Paths of programs. */
export interface AutoscalerPrograms {
  readonly metricsServer: string
  readonly controllerManager: string
}

export async function startAutoscaler(
  session: Session,
  cluster: Cluster,
  { programs, operator }: { readonly programs: AutoscalerPrograms; readonly operator: Operator },
): Promise<void> {
  await allowReading(cluster)
  const port = await startMetricsServer(session, programs.metricsServer, operator)
  await serveExternalMetrics(cluster, port)
  await startControllerManager(session, programs.controllerManager, cluster)
}

/** Its port. */
async function startMetricsServer(
  session: Session,
  command: string,
  { metrics, certificates, kubeconfig }: Operator,
): Promise<number> {
  const [port = 0, own] = await freePorts(2)
  await session.start(
    {
      name: "KEDA's metrics server",
      command,
      args: [
        ...['--kubeconfig', kubeconfig, '--lister-kubeconfig', kubeconfig],
        ...['--authentication-kubeconfig', kubeconfig, '--authorization-kubeconfig', kubeconfig],
        ...['--bind-address=127.0.0.1', `--secure-port=${port}`, `--metrics-service-address=${metrics}`],
        ...['--cert-dir', certificates, `--port=${own}`],
        ...['--tls-cert-file', join(certificates, 'tls.crt')],
        ...['--tls-private-key-file', join(certificates, 'tls.key')],
      ],
      env: KEDA_ENVIRONMENT,
      ready: () => listens(port),
    },
    'keda-adapter --kubeconfig FILE --cert-dir FOLDER',
  )
  return port
}

/** The API server has no certificate for the metrics server here: whoever asks is nobody, and may read. */
async function allowReading(cluster: Cluster): Promise<void> {
  const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name: READERS } }
  await cluster.create({
    ...rbac,
    kind: 'ClusterRole',
    rules: [
      { apiGroups: [EXTERNAL_METRICS], resources: ['*'], verbs: ['get', 'list'] },
      { nonResourceURLs: ['/apis/*'], verbs: ['get'] },
    ],
  })
  await cluster.create({
    ...rbac,
    kind: 'ClusterRoleBinding',
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: READERS },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'system:unauthenticated' }],
  })
}
