/** Helm, built from its own module, asked for this chart. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../../interop/suite/run.ts'
import type { Session } from '../../interop/suite/session.ts'
import { goProgramsOfModule } from '../../interop/systems/go.ts'
import { NAMESPACE } from './manifests.ts'
import { CHART, ROOT } from './places.ts'

const VERSION = '3.22.0'
const TIMEOUT_MS = 120_000
const RELEASE = 'infergate'
/** Helm that was built from its module takes a long gone version for the cluster's, where it does not ask one. */
const KUBERNETES = '1.34.2'

/** Values on top of the chart's: a file, and single ones by their paths. */
export interface Values {
  readonly file?: string | undefined
  readonly set?: Readonly<Record<string, unknown>>
  /** Of the release; that of the plain manifests where none is named. */
  readonly namespace?: string
}

export interface Helm {
  /** Rejects with what it finds. */
  lint(values: Values): Promise<void>
  /** The objects as YAML; rejects with the reason where the chart refuses the values. */
  template(values: Values): Promise<string>
  /** Installs into a new namespace of a cluster; rejects where its API server refuses an object. */
  install(values: Values, kubeconfig: string): Promise<void>
  upgrade(values: Values, kubeconfig: string): Promise<void>
  uninstall(namespace: string, kubeconfig: string): Promise<void>
}

/** Built once, which takes some minutes. Rejects with NotInstalled where there is no Go. */
export async function buildHelm(session: Session): Promise<Helm> {
  const programs = { module: 'helm.sh/helm/v3', version: `v${VERSION}`, packages: ['cmd/helm'] }
  const program = join(await goProgramsOfModule(programs, session.say), 'helm')
  session.uses('Helm', VERSION)
  const helm = async (...args: string[]) =>
    (await run(program, args, { cwd: ROOT, timeoutMs: TIMEOUT_MS })).stdout
  const installed = withoutKubeVersion(session.folder)
  const within = ({ namespace = NAMESPACE }: Values) => ['--namespace', namespace]
  return {
    lint: async (values) => void (await helm('lint', '--strict', '--quiet', CHART, ...options(values))),
    template: (values) =>
      helm('template', RELEASE, CHART, '--kube-version', KUBERNETES, ...within(values), ...options(values)),
    async install(values, kubeconfig) {
      const created = ['--create-namespace', ...within(values), ...options(values)]
      await helm('install', RELEASE, installed, '--kubeconfig', kubeconfig, ...created)
    },
    async upgrade(values, kubeconfig) {
      const changed = [...within(values), ...options(values)]
      await helm('upgrade', RELEASE, installed, '--kubeconfig', kubeconfig, ...changed)
    },
    async uninstall(namespace, kubeconfig) {
      await helm('uninstall', RELEASE, '--kubeconfig', kubeconfig, '--namespace', namespace)
    },
  }
}

/** A copy of the chart for an API server that was built from its module: it does not know its own version. */
function withoutKubeVersion(folder: string): string {
  const copy = join(folder, 'chart')
  cpSync(CHART, copy, { recursive: true })
  const file = join(copy, 'Chart.yaml')
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^kubeVersion: .*\n/m, ''))
  return copy
}

function options({ file, set = {} }: Values): string[] {
  const single = Object.entries(set).flatMap(([path, value]) => [
    '--set-json',
    `${path}=${JSON.stringify(value)}`,
  ])
  return [...(file === undefined ? [] : ['--values', file]), ...single]
}
