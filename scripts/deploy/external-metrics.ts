/** The number of replicas as an external metric of the cluster: the API server asks the pod, as for a HorizontalPodAutoscaler. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '../../interop/suite/eventually.ts'
import type { Session } from '../../interop/suite/session.ts'
import { createAuthority } from './authority.ts'
import { type Audited, SERVED } from './cluster.ts'
import type { Helm } from './helm.ts'
import { CHART } from './places.ts'
import type { Container } from './pod-spec.ts'
import { endpointSlice, installRelease, portOf, tlsSecret } from './release.ts'

const NAMESPACE = 'edge'
const GROUP = 'a pod that is asked for external metrics'
/** The API server looks every half minute whether somebody is there. */
const SEEN = { timeoutMs: 120_000 }
const METRIC = `/apis/external.metrics.k8s.io/v1beta1/namespaces/${SERVED}/infergate_scale_desired_replicas`

export async function tryExternalMetrics(session: Session, helm: Helm, audited: Audited): Promise<void> {
  const { api, frontProxyCa } = audited
  // A cluster has one, and so far it is that of the example's manifest.
  await api.ask('DELETE', '/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io')
  const authority = createAuthority(session.folder, 'admin')
  const release = await installRelease(session, helm, audited, {
    namespace: NAMESPACE,
    file: join(CHART, 'ci', 'edge-values.yaml'),
    set: { 'externalMetrics.caBundle': readFileSync(authority.file, 'base64') },
  })
  const certificate = authority.issue('infergate-admin', [`DNS:infergate-admin.${NAMESPACE}.svc`])
  await api.apply(tlsSecret(NAMESPACE, 'infergate-admin-tls', certificate))
  const metadata = { name: 'front-proxy', namespace: NAMESPACE }
  await api.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata,
    data: { 'ca.crt': frontProxyCa },
  })
  await release.start()
  await session.check(GROUP, 'the API server gets the number, by its own certificate', async () => {
    const port = portOf(release.spec.containers[0] as Container, 'admin')
    await api.apply(endpointSlice('infergate-admin', port, { namespace: NAMESPACE, name: 'admin' }))
    const read = async () => {
      const { items } = (await api.ask('GET', `${METRIC}?labelSelector=pool%3Dchat`)) as {
        items: readonly { metricName: string; value: string }[]
      }
      if (items.length !== 1) throw new Error(`there are ${items.length}`)
      return items[0]?.value
    }
    const value = await eventually(read, SEEN)
    return value === '1' ? undefined : `it is ${value}`
  })
  await session.check(GROUP, 'nobody else does without a token', async () => {
    const { status } = await release.ask('admin', METRIC)
    return status === 401 ? undefined : `it was answered ${status}`
  })
}
