/** A HorizontalPodAutoscaler that follows the gateway's number by itself: the admin API as the external metrics of the cluster. */

import { readFileSync } from 'node:fs'
import net from 'node:net'
import tls from 'node:tls'
import type { SettingsInput } from '../../../src/config/schema.ts'
import { eventually } from '../../suite/eventually.ts'
import type { Gateway } from '../../suite/gateway.ts'
import type { Session } from '../../suite/session.ts'
import { certificate } from '../certificate.ts'
import { serveExternalMetrics } from './autoscaling.ts'
import type { Cluster } from './cluster.ts'
import { createDeployment, hasReplicas } from './deployment.ts'

const NAMESPACE = 'followed'
const FOLLOWED = { timeoutMs: 90_000 }

export const followed: SettingsInput = {
  cache: { tiers: [] },
  pools: { ranker: { scale: { min: 4, max: 5 } } },
  routes: [{ pool: 'ranker' }],
}

export async function tryFollowing(session: Session, cluster: Cluster, { admin }: Gateway): Promise<void> {
  await session.check('scaling', 'a HorizontalPodAutoscaler follows the external metrics API', async () => {
    await serveExternalMetrics(cluster, await startSidecar(session, Number(new URL(admin).port)))
    await cluster.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } })
    await createDeployment(cluster, NAMESPACE)
    await cluster.create({
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'ranker', namespace: NAMESPACE },
      spec: {
        maxReplicas: 9,
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'ranker' },
        metrics: [{ type: 'External', external: METRIC }],
      },
    })
    return eventually(() => hasReplicas(cluster, NAMESPACE, 4), FOLLOWED)
  })
}

const METRIC = {
  metric: { name: 'infergate_scale_desired_replicas', selector: { matchLabels: { pool: 'ranker' } } },
  target: { type: 'AverageValue', averageValue: '1' },
}

/** Speaks TLS, as the API server wants it, for a port that is plain. Gives its own port. */
async function startSidecar(session: Session, to: number): Promise<number> {
  const { cert, key } = certificate(session.folder)
  const secured = { cert: readFileSync(cert), key: readFileSync(key) }
  const sockets = new Set<net.Socket>()
  const server = tls.createServer(secured, (outside) => {
    const inside = net.connect(to, '127.0.0.1')
    for (const socket of [outside, inside]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        outside.destroy()
        inside.destroy()
      })
    }
    outside.pipe(inside).pipe(outside)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  session.owns({
    async stop() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  })
  return (server.address() as net.AddressInfo).port
}
