/**
 * A Kubernetes API server: gateways run as in pods, with a service account that has the rights of the guide and a token that
 * is replaced. One finds its backends in EndpointSlices, others scale a Deployment, and one is followed by Kubernetes' own
 * controller.
 */
import type { System } from '../../suite/session.ts'
import { startControllerManager } from './autoscaling.ts'
import { freeAddress, startCluster } from './cluster.ts'
import { createDeployment } from './deployment.ts'
import { discovering, startBackend, tryAbsence, tryDiscovery } from './discovery.ts'
import { followed, tryFollowing } from './following.ts'
import { grantRights, newAccount, startPod } from './pod.ts'
import { clusterPrograms, kubernetesProgram } from './programs.ts'
import { scaling, tryRival, tryScaling } from './scaling.ts'

export const kubernetes: System = {
  name: 'kubernetes',
  title: 'Kubernetes API server on etcd: discovery by EndpointSlices, scaling of a Deployment, autoscalers',
  guide: 'kubernetes.md',
  async run(session) {
    const programs = await clusterPrograms(session)
    const controllerManager = await kubernetesProgram(session, 'kube-controller-manager')
    const address = await freeAddress()
    // A gateway says nothing about its number in its first 20 s: those that scale need not wait for the API server.
    const [cluster, scaler, rival] = await Promise.all([
      startCluster(session, programs, address),
      startPod(session, address, newAccount(session, 'scaled'), scaling('scaled')),
      startPod(session, address, newAccount(session, 'rival'), scaling('rival')),
    ])
    for (const pod of [scaler, rival]) {
      await grantRights(cluster, pod)
      await createDeployment(cluster, pod.namespace)
    }
    const account = newAccount(session, 'found')
    await grantRights(cluster, account)
    const pod = await startPod(session, address, account, discovering('found'))
    const backends = [await startBackend(session, 'a'), await startBackend(session, 'b')] as const
    await tryDiscovery(session, { cluster, pod, backends })
    await tryAbsence(session, { cluster, pod, backends })
    const gateway = await session.gateway({ name: 'followed', upstream: '', settings: followed })
    await startControllerManager(session, controllerManager, cluster)
    await session.together(
      (session) => tryScaling(session, cluster, scaler),
      (session) => tryRival(session, cluster, rival),
      (session) => tryFollowing(session, cluster, gateway),
    )
    // It takes ten seconds to leave, for clients that are no more.
    await cluster.apiserver.kill()
  },
}
