/** The Deployment that is scaled, one a namespace. */
import type { Cluster } from './cluster.ts'

/** A Deployment that no controller sees: only its number of replicas matters. */
export async function createDeployment(cluster: Cluster, namespace: string): Promise<void> {
  const labels = { app: 'ranker' }
  await cluster.ask('POST', `/apis/apps/v1/namespaces/${namespace}/deployments`, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'ranker' },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'server', image: 'ranker:1' }] } },
    },
  })
}

const deployment = (namespace: string) => `/apis/apps/v1/namespaces/${namespace}/deployments/ranker`

/** As somebody with the rights to do it. */
export const writeReplicas = (cluster: Cluster, namespace: string, replicas: number): Promise<unknown> =>
  cluster.ask('PATCH', deployment(namespace), { spec: { replicas } })

/** Throws where it has another number of replicas. */
export async function hasReplicas(cluster: Cluster, namespace: string, wanted: number): Promise<undefined> {
  const { spec } = (await cluster.ask('GET', deployment(namespace))) as { spec: { replicas: number } }
  if (spec.replicas !== wanted) throw new Error(`it has ${spec.replicas} replicas, not ${wanted}`)
  return undefined
}

/** It grows whenever somebody writes another number. */
export async function generationOf(cluster: Cluster, namespace: string): Promise<number> {
  const { metadata } = (await cluster.ask('GET', deployment(namespace))) as {
    metadata: { generation: number }
  }
  return metadata.generation
}
