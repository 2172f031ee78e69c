/** The chart and the plain manifests in a real API server: every object is taken, with no unknown field. */
import { readFileSync } from 'node:fs'
import type { Session } from '../../interop/suite/session.ts'
import type { Apiserver } from './apiserver.ts'
import type { Audited } from './cluster.ts'
import type { Helm } from './helm.ts'
import { type Manifest, NAMESPACE, readManifests } from './manifests.ts'
import { type Rendering, renderings } from './places.ts'
import type { PodSpec } from './pod-spec.ts'

export async function tryInstall(session: Session, helm: Helm, { api, kubeconfig }: Audited): Promise<void> {
  for (const { name, values: file } of renderings()) {
    const values = { file, namespace: `helm-${name}` }
    await session.check('API server', `${name}: helm install, upgrade, uninstall`, async () => {
      await helm.install(values, kubeconfig)
      await helm.upgrade({ ...values, set: { 'config.log.level': 'warn' } }, kubeconfig)
      await helm.uninstall(values.namespace, kubeconfig)
      return undefined
    })
  }
  for (const rendering of renderings()) {
    await session.check('API server', `${rendering.name}: its manifest is applied`, () =>
      applied(api, rendering),
    )
    await session.check('API server', `${rendering.name}: its pods pass Pod Security's restricted`, () =>
      takesPod(api, podSpecOf(rendering)),
    )
  }
  await session.check(
    'API server',
    "refuses a pod that does not pass Pod Security's restricted",
    async () => {
      const { securityContext: _, ...spec } = podSpecOf(renderings()[0] as Rendering)
      return takesPod(api, spec as PodSpec).then(
        () => 'it was taken',
        (error: unknown) => (/violates PodSecurity/.test(String(error)) ? undefined : String(error)),
      )
    },
  )
}

async function applied(api: Apiserver, { manifest }: Rendering): Promise<undefined> {
  for (const object of readManifests(readFileSync(manifest, 'utf8'))) await api.apply(object)
  return undefined
}

async function takesPod(api: Apiserver, spec: PodSpec): Promise<undefined> {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'pod', namespace: NAMESPACE }, spec }
  await api.apply(pod, true)
  return undefined
}

interface Deployment extends Manifest {
  readonly spec: { readonly template: { readonly spec: PodSpec } }
}

function podSpecOf({ manifest }: Rendering): PodSpec {
  const objects = readManifests(readFileSync(manifest, 'utf8'))
  return (objects.find(({ kind }) => kind === 'Deployment') as Deployment).spec.template.spec
}
