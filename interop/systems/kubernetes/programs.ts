/** Kubernetes' own programs. Each staging module that the module replaces by a folder is replaced by its published version. */
import { join } from 'node:path'
import { debianProgram } from '../../suite/debian.ts'
import type { Session } from '../../suite/session.ts'
import { goPrograms } from '../go.ts'

const VERSION = '1.34.2'
const MODULE = 'k8s.io/kubernetes'

/** Paths of programs. */
export interface ClusterPrograms {
  readonly etcd: string
  readonly apiserver: string
}

/** Built or unpacked once, which takes some minutes. Rejects with NotInstalled where there is no Go. */
export async function clusterPrograms(session: Session): Promise<ClusterPrograms> {
  const etcd = await debianProgram('etcd-server', 'usr/bin/etcd', session.say)
  return { etcd, apiserver: await kubernetesProgram(session, 'kube-apiserver') }
}

/** The path of a program. Rejects with NotInstalled where there is no Go. */
export async function kubernetesProgram(session: Session, name: string): Promise<string> {
  const programs = { module: MODULE, version: `v${VERSION}`, packages: [`cmd/${name}`] }
  const bin = await goPrograms({ ...programs, replace: staging }, session.say)
  session.uses(name, VERSION)
  return join(bin, name)
}

function staging(goMod: string): string[] {
  const published = VERSION.replace('1.', 'v0.')
  return [...goMod.matchAll(/^\s*(k8s\.io\/[a-z0-9-]+) => /gm)].map(
    ([, name]) => `${name} => ${name} ${published}`,
  )
}
