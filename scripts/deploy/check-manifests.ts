/**
 * The part of `npm run check` that looks at the chart, its manifests and the unit of systemd, without Helm: that they are of this
 * version and up to date, that the gateway takes the settings in them, and that what others are told of the gateway agrees with those.
 */
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { formatProblem, parseSettings } from '../../src/config/load.ts'
import type { Settings } from '../../src/config/schema.ts'
import { disagreements } from '../release/places.ts'
import { firstLine, type Manifest, readManifests } from './manifests.ts'
import { type Rendering, ROOT, renderings, UNIT } from './places.ts'
import type { Container, PodSpec } from './pod-spec.ts'

/** What the models may take to end, behind the calls (docs/guide/operations.md). */
const MODELS_MS = 10_000

const problems = [...versions(), ...unit(), ...renderings().flatMap(problemsOf)]
for (const problem of problems) process.stderr.write(`${problem}\n`)
if (problems.length > 0) process.exitCode = 1

function versions(): string[] {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  return disagreements(ROOT, version)
}

/** The unit gives the time that the default settings need. */
function unit(): string[] {
  const file = join(ROOT, 'config', 'infergate.yaml')
  const loaded = parseSettings(readFileSync(file, 'utf8'), file, {})
  if ('problems' in loaded) return loaded.problems.map(formatProblem)
  const { shutdownDelay, drainTimeout } = loaded.settings.server
  const needed = shutdownDelay + drainTimeout + MODELS_MS
  const [, given] = /^TimeoutStopSec=(\d+)$/m.exec(readFileSync(UNIT, 'utf8')) ?? []
  if (Number(given) * 1000 >= needed) return []
  return [`${relative(ROOT, UNIT)}: TimeoutStopSec is ${given}, and the gateway may take ${needed} ms to end`]
}

function problemsOf(rendering: Rendering): string[] {
  const name = relative(ROOT, rendering.manifest)
  const text = readFileSync(rendering.manifest, 'utf8')
  if (!text.startsWith(`${firstLine(rendering)}\n`))
    return [`${name} is not what the chart renders now: npm run check:deploy -- --write`]
  const objects = readManifests(text)
  const { spec } = one(objects, 'Deployment').spec.template
  const settings = settingsOf(objects, spec)
  const found = Array.isArray(settings) ? settings : conflicts(objects, spec, settings)
  return found.map((problem) => `${name}: ${problem}`)
}

/** The settings in the ConfigMap as the gateway resolves them in its pod; or what is wrong with them. */
function settingsOf(objects: readonly Manifest[], spec: PodSpec): Settings | string[] {
  const { data } = one(objects, 'ConfigMap')
  // The image has the models of the repository in its own folder.
  const text = data['infergate.yaml'].replaceAll('/app/models/', `${join(ROOT, 'models')}/`)
  const loaded = parseSettings(text, 'infergate.yaml', environmentOf(only(spec.containers)))
  if ('problems' in loaded) return loaded.problems.map(formatProblem)
  return loaded.warnings.length > 0 ? loaded.warnings.map(formatProblem) : loaded.settings
}

/** Values of secrets are stand-ins: none that the manifests refer to is here. */
function environmentOf({ env = [] }: Container): NodeJS.ProcessEnv {
  const given = env.filter(({ valueFrom }) => valueFrom?.secretKeyRef.optional !== true)
  return Object.fromEntries(given.map(({ name, value }) => [name, value ?? standIn(name)]))
}

function standIn(name: string): string {
  return name.endsWith('_HASH') ? `sha256:${'0'.repeat(64)}` : 'secret'
}

function conflicts(objects: readonly Manifest[], spec: PodSpec, { server, admin }: Settings): string[] {
  const container = only(spec.containers)
  const ports = new Map(container.ports.map(({ name, containerPort }) => [name, containerPort]))
  const preStopMs = (container.lifecycle?.preStop.sleep.seconds ?? 0) * 1000
  const needed = preStopMs + server.shutdownDelay + server.drainTimeout + MODELS_MS
  const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe]
  const scheme = admin.tls ? 'HTTPS' : 'HTTP'
  const served = objects
    .filter(({ kind }) => kind === 'Service')
    .flatMap((service) => service as ServiceObject)
  const targets = served.flatMap(({ spec }) => spec.ports.map(({ targetPort }) => targetPort))
  return [
    spec.terminationGracePeriodSeconds * 1000 < needed &&
      `terminationGracePeriodSeconds is ${spec.terminationGracePeriodSeconds}, and the gateway may take ${needed} ms to end`,
    ports.get('http') !== server.listen.port && 'the port http is not that of server.listen',
    ports.get('admin') !== admin.listen.port && 'the port admin is not that of admin.listen',
    probes.some(({ httpGet }) => httpGet.port !== 'admin' || httpGet.scheme !== scheme) &&
      `a probe does not ask the admin port by ${scheme}`,
    !isDeepStrictEqual(new Set(targets), new Set(ports.keys())) && 'the services do not lead to all ports',
  ].filter((problem) => problem !== false)
}

interface ServiceObject extends Manifest {
  readonly spec: { readonly ports: readonly { readonly targetPort: string }[] }
}

interface Objects {
  readonly Deployment: { readonly spec: { readonly template: { readonly spec: PodSpec } } }
  readonly ConfigMap: { readonly data: { readonly 'infergate.yaml': string } }
}

/** The only object of a kind. */
function one<K extends keyof Objects>(objects: readonly Manifest[], kind: K): Objects[K] {
  return only(objects.filter((object) => object.kind === kind)) as unknown as Objects[K]
}

function only<T>(all: readonly T[]): T {
  const [first] = all
  if (all.length !== 1 || first === undefined) throw new Error(`there are ${all.length} where one is wanted`)
  return first
}
