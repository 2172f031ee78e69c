/** Kubernetes' own controller of HorizontalPodAutoscalers, and the API by which it reads numbers from outside of the cluster. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Session } from '../../suite/session.ts'
import type { Cluster } from './cluster.ts'

export const EXTERNAL_METRICS = 'external.metrics.k8s.io'
const SERVICE = { name: 'external-metrics', namespace: 'default' }

export async function startControllerManager(
  session: Session,
  command: string,
  { kubeconfig }: Cluster,
): Promise<void> {
  const file = join(session.folder, 'controller-manager.kubeconfig')
  writeFileSync(file, kubeconfig)
  await session.start(
    {
      name: 'kube-controller-manager',
      command,
      args: [
        ...['--kubeconfig', file, '--leader-elect=false', '--secure-port=0'],
        '--controllers=horizontal-pod-autoscaler-controller',
        '--horizontal-pod-autoscaler-sync-period=1s',
      ],
    },
    'kube-controller-manager --kubeconfig FILE --controllers=horizontal-pod-autoscaler-controller',
  )
}

/** The API server is to ask whoever speaks TLS on this port of this machine. */
export async function serveExternalMetrics(cluster: Cluster, port: number): Promise<void> {
  await cluster.create({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: SERVICE,
    spec: { type: 'ExternalName', externalName: 'localhost' },
  })
  await cluster.create({
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name: `v1beta1.${EXTERNAL_METRICS}` },
    spec: {
      group: EXTERNAL_METRICS,
      version: 'v1beta1',
      service: { ...SERVICE, port },
      insecureSkipTLSVerify: true,
      groupPriorityMinimum: 100,
      versionPriority: 100,
    },
  })
}
