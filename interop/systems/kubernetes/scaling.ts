/** The number of replicas of a Deployment, written by the gateway. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SettingsInput } from '../../../src/config/schema.ts'
import { eventually } from '../../suite/eventually.ts'
import type { Session } from '../../suite/session.ts'
import type { Cluster } from './cluster.ts'
import { hasReplicas, writeReplicas } from './deployment.ts'
import type { Pod } from './pod.ts'

const GROUP = 'scaling'
/** The gateway writes nothing in its first 20 s, and looks again every 30 s. */
const WRITTEN = { timeoutMs: 90_000 }

export const scaling = (namespace: string): SettingsInput => ({
  cache: { tiers: [] },
  pools: {
    ranker: {
      scale: {
        min: 3,
        max: 5,
        emit: [{ type: 'kubernetes', namespace, kind: 'Deployment', name: 'ranker' }],
      },
    },
  },
  routes: [{ pool: 'ranker' }],
})

export async function tryScaling(session: Session, cluster: Cluster, { namespace }: Pod): Promise<void> {
  await session.check(GROUP, 'the Deployment has as many replicas as the gateway wants', () =>
    eventually(() => hasReplicas(cluster, namespace, 3), WRITTEN),
  )
  await session.check(GROUP, 'a number that somebody else has written is written over', async () => {
    await writeReplicas(cluster, namespace, 1)
    return eventually(() => hasReplicas(cluster, namespace, 3), WRITTEN)
  })
}

/** In a namespace of its own, so that it need not wait for what is written over. */
export async function tryRival(session: Session, cluster: Cluster, { namespace }: Pod): Promise<void> {
  await session.check(
    GROUP,
    'where a HorizontalPodAutoscaler has the same target it writes nothing',
    async () => {
      await eventually(() => hasReplicas(cluster, namespace, 3), WRITTEN)
      await cluster.ask('POST', `/apis/autoscaling/v2/namespaces/${namespace}/horizontalpodautoscalers`, {
        apiVersion: 'autoscaling/v2',
        kind: 'HorizontalPodAutoscaler',
        metadata: { name: 'ranker' },
        spec: {
          maxReplicas: 9,
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'ranker' },
        },
      })
      await writeReplicas(cluster, namespace, 7)
      await eventually(() => isLogged(session, namespace, 'scales the same object'), WRITTEN)
      return hasReplicas(cluster, namespace, 7)
    },
  )
}

function isLogged(session: Session, namespace: string, words: string): void {
  if (!readFileSync(join(session.folder, `gateway-${namespace}.log`), 'utf8').includes(words))
    throw new Error(`the log does not say "${words}"`)
}
