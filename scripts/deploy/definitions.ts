/** Kinds that others bring into a cluster, from the modules that define them: KEDA, Prometheus' operator, the Gateway API. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { eventually } from '../../interop/suite/eventually.ts'
import type { Session } from '../../interop/suite/session.ts'
import { downloaded } from '../../interop/systems/go.ts'
import type { Apiserver } from './apiserver.ts'
import type { Manifest } from './manifests.ts'

const SOURCES = [
  {
    name: 'KEDA',
    module: 'github.com/kedacore/keda/v2',
    version: 'v2.21.0',
    file: 'config/crd/bases/keda.sh_scaledobjects.yaml',
  },
  {
    name: "Prometheus' operator",
    module: 'github.com/prometheus-operator/prometheus-operator',
    version: 'v0.85.0',
    file: 'example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml',
  },
  {
    name: 'Gateway API',
    module: 'sigs.k8s.io/gateway-api',
    version: 'v1.6.3',
    file: 'config/crd/standard/gateway.networking.k8s.io_httproutes.yaml',
  },
]

/** A CustomResourceDefinition. */
export interface Definition extends Manifest {
  readonly spec: {
    readonly group: string
    readonly names: { readonly kind: string }
    readonly versions: readonly DefinedVersion[]
  }
}

interface DefinedVersion {
  readonly name: string
  readonly served: boolean
  readonly schema: { readonly openAPIV3Schema: object }
}

/** Downloads what is not there yet. */
export async function definitions(session: Session): Promise<Definition[]> {
  const all: Definition[] = []
  for (const { name, file, ...module } of SOURCES) {
    const { Dir } = await downloaded(module)
    session.uses(name, module.version.slice(1))
    all.push(parse(readFileSync(join(Dir, file), 'utf8')) as Definition)
  }
  return all
}

/** Creates them, and waits until the API server serves the kinds. */
export async function define(api: Apiserver, all: readonly Definition[]): Promise<void> {
  for (const definition of all) await api.apply(definition)
  for (const { spec } of all) {
    const served = spec.versions.filter((version) => version.served)
    for (const { name } of served)
      await eventually(() => api.ask('GET', `/apis/${spec.group}/${name}`), { timeoutMs: 60_000 })
  }
}
