/**
 * KEDA's operator on a real API server asks the gateway's external scaler, is told by it, and scales Deployments between
 * none and one by what it hears. Beyond one Kubernetes' own controller scales, by the HorizontalPodAutoscaler that the
 * operator makes.
 */
import { eventually } from '../../suite/eventually.ts'
import { startModelServer } from '../../suite/model-server.ts'
import type { Server, Session, System } from '../../suite/session.ts'
import { certificate } from '../certificate.ts'
import { type Cluster, freeAddress, startCluster } from '../kubernetes/cluster.ts'
import { generationOf, hasReplicas } from '../kubernetes/deployment.ts'
import { clusterPrograms, kubernetesProgram } from '../kubernetes/programs.ts'
import { startAutoscaler } from './autoscaler.ts'
import { kedaPrograms, startOperator } from './operator.ts'
import {
  call,
  createScaledObject,
  hasAutoscaler,
  hasConditions,
  register,
  type Scaler,
  startGateway,
  startScaler,
} from './scaled.ts'

/** The gateway says nothing in its first 20 s. */
const HEARD = { timeoutMs: 90_000 }

export const keda: System = {
  name: 'keda',
  title:
    "KEDA's operator and metrics server, which ask the gateway's external scaler (compiled the first time, for over ten minutes)",
  guide: 'scaling.md',
  async run(session) {
    const programs = {
      ...(await clusterPrograms(session)),
      ...(await kedaPrograms(session)),
      controllerManager: await kubernetesProgram(session, 'kube-controller-manager'),
    }
    const address = await freeAddress()
    const [cluster, asked, told, many] = await Promise.all([
      startCluster(session, programs, address),
      startScaler(session, { name: 'asked', trigger: 'external' }),
      startScaler(session, { name: 'told', trigger: 'external-push', tls: certificate(session.folder) }),
      startScaler(session, { name: 'many', trigger: 'external', min: 3 }),
    ])
    const operator = await startOperator(session, cluster, programs)
    await startAutoscaler(session, cluster, { programs, operator })
    for (const scaler of [asked, told, many]) await createScaledObject(cluster, scaler)
    const pod = await startModelServer(session)
    await tryToZero(session, cluster, [asked, told])
    await session.check('beyond one', 'as many replicas as the gateway wants', () =>
      eventually(() => hasReplicas(cluster, many.name, 3), HEARD),
    )
    await tryAbsentOperator(session, { cluster, operator: operator.server, scaler: asked, pod })
    await session.together(
      (session) => tryKilledGateway(session, { cluster, scaler: asked, pod }),
      (session) => tryPush(session, { cluster, scaler: told, pod }),
    )
    // It takes ten seconds to leave, for clients that are no more.
    await cluster.apiserver.kill()
  },
}

interface Tried {
  readonly cluster: Cluster
  readonly scaler: Scaler
  /** The URL of a model server. */
  readonly pod: string
}

async function tryToZero(session: Session, cluster: Cluster, scalers: readonly Scaler[]): Promise<void> {
  for (const scaler of scalers) {
    const { name, trigger, tls } = scaler
    const group = `trigger ${trigger}${tls ? ', over TLS' : ''}`
    await session.check(group, 'a Deployment that nobody asks is scaled to zero', () =>
      eventually(() => hasReplicas(cluster, name, 0), HEARD),
    )
    await session.check(
      group,
      'its HorizontalPodAutoscaler follows the number of the gateway, one a replica',
      () => eventually(() => hasAutoscaler(cluster, scaler), HEARD),
    )
  }
}

async function tryPush(session: Session, tried: Tried): Promise<void> {
  await session.check(
    'trigger external-push, over TLS',
    'a call that waits scales it up, and is answered',
    () => upForCall(tried),
  )
}

async function tryAbsentOperator(
  session: Session,
  { operator, ...tried }: Tried & { readonly operator: Server },
): Promise<void> {
  await session.check(
    'kill -9 of the operator',
    'a call waits until it is back, and is answered',
    async () => {
      await operator.kill()
      const [seen] = await Promise.all([upForCall(tried), operator.start()])
      return seen
    },
  )
}

/** A call that waits: KEDA is to scale the Deployment up for it, whose pod then registers. */
async function upForCall({ cluster, scaler, pod }: Tried): Promise<string | undefined> {
  const comesUp = async () => {
    await eventually(() => hasReplicas(cluster, scaler.name, 1), HEARD)
    await register(scaler, pod)
  }
  const [{ status, body }] = await Promise.all([call(scaler), comesUp()])
  return status === 200 ? undefined : `it was answered ${status} ${body.toString()}`
}

async function tryKilledGateway(session: Session, { cluster, scaler, pod }: Tried): Promise<void> {
  const { name, gateway } = scaler
  const group = 'kill -9 of the gateway'
  const generation = await generationOf(cluster, name)
  await session.check(group, 'the operator says that the trigger fails', async () => {
    await gateway.kill()
    return eventually(() => hasConditions(cluster, scaler, { Ready: 'False' }), HEARD)
  })
  await session.check(group, 'when it is back it is heard again', async () => {
    scaler.gateway = await startGateway(session, scaler)
    await register(scaler, pod)
    return eventually(() => hasConditions(cluster, scaler, { Ready: 'True', Active: 'True' }), HEARD)
  })
  await session.check(group, 'nobody has touched the Deployment meanwhile', async () => {
    const now = await generationOf(cluster, name)
    return now === generation ? undefined : `it was written ${now - generation} times`
  })
}
