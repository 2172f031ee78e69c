/**
 * A pod of the rendered Deployment as a node would run it: with its arguments, environment and volumes, as its user without any
 * capability, over a root file system that is read only. Bubblewrap is the container; the image is this repository at /app.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { debianProgram } from '../../interop/suite/debian.ts'
import type { Server, Session } from '../../interop/suite/session.ts'
import type { Apiserver } from './apiserver.ts'
import { ROOT } from './places.ts'
import type { Container, EnvironmentVariable, PodSpec, Volume } from './pod-spec.ts'

const APP = '/app'
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
/** What the image has of a system, besides Node. */
const SYSTEM = ['/usr', '/etc/hosts', '/etc/resolv.conf', '/etc/nsswitch.conf']
const LINKS = ['bin', 'lib', 'lib64', 'sbin']

export interface PodOptions {
  readonly api: Apiserver
  /** Where the cluster's API server is. */
  readonly url: string
  readonly namespace: string
  readonly spec: PodSpec
  /** The service account's, where the pod mounts one. */
  readonly account: { readonly token: string; readonly ca: string }
}

export interface Pod {
  readonly server: Server
  /** What it has written. */
  log(): string
  /** SIGTERM, as the kubelet sends it. */
  terminate(): void
}

/** Starts the pod's only container; resolves when its readiness probe has answered `ready`. */
export async function startPod(
  session: Session,
  options: PodOptions,
  ready: () => Promise<boolean>,
): Promise<Pod> {
  const { spec, namespace, url } = options
  const [container] = spec.containers as readonly [Container]
  const { hostname, port } = new URL(url)
  const name = `pod in ${namespace}`
  const server = await session.start({
    name,
    command: await debianProgram('bubblewrap', 'usr/bin/bwrap', session.say),
    args: [
      ...isolation(spec),
      ...(await mounts(session, options)),
      ...['--remount-ro', '/', '--chdir', APP, '--', inImage(process.execPath), 'src/main.ts'],
      ...container.args,
    ],
    env: {
      HOME: '/home/node',
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: port,
      ...(await environment(options, container.env ?? [])),
    },
    ready,
  })
  const log = join(session.folder, `${name.replaceAll(/\W+/g, '-')}.log`)
  return {
    server,
    log: () => readFileSync(log, 'utf8'),
    terminate: () => process.kill(childOf(server.pid), 'SIGTERM'),
  }
}

/** Bubblewrap waits for it and passes no signal on. */
const childOf = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0])

function isolation({ securityContext: { runAsUser, runAsGroup } }: PodSpec): string[] {
  return [
    ...['--unshare-user', '--uid', String(runAsUser), '--gid', String(runAsGroup), '--unshare-ipc'],
    ...['--cap-drop', 'ALL', '--die-with-parent', '--proc', '/proc', '--dev', '/dev'],
    ...SYSTEM.flatMap((path) => ['--ro-bind-try', path, path]),
    ...LINKS.flatMap((name) => ['--symlink', `usr/${name}`, `/${name}`]),
    ...['--ro-bind', ROOT, APP],
  ]
}

async function mounts(session: Session, options: PodOptions): Promise<string[]> {
  const { spec, namespace, account } = options
  const [{ volumeMounts }] = spec.containers as readonly [Container]
  const arguments_: string[] = []
  for (const { name, mountPath } of volumeMounts) {
    const volume = spec.volumes.find((one) => one.name === name)
    if (!volume) throw new Error(`the pod has no volume ${name}`)
    const folder = join(session.folder, 'volumes', namespace, name)
    writeFiles(folder, await filesOf(options, volume))
    arguments_.push(volume.emptyDir ? '--bind' : '--ro-bind', folder, mountPath)
  }
  if (spec.automountServiceAccountToken) {
    const folder = join(session.folder, 'volumes', namespace, 'account')
    writeFiles(folder, { token: account.token, 'ca.crt': account.ca, namespace })
    arguments_.push('--ro-bind', folder, ACCOUNT)
  }
  return arguments_
}

function writeFiles(folder: string, files: Readonly<Record<string, string | Buffer>>): void {
  mkdirSync(folder, { recursive: true })
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
}

async function filesOf(
  { api, namespace }: PodOptions,
  { configMap, secret }: Volume,
): Promise<Record<string, string | Buffer>> {
  if (configMap) {
    const { data } = (await api.ask(
      'GET',
      `/api/v1/namespaces/${namespace}/configmaps/${configMap.name}`,
    )) as {
      data: Record<string, string>
    }
    return data
  }
  return secret ? secretOf(api, namespace, secret.secretName) : {}
}

async function environment(
  { api, namespace }: PodOptions,
  variables: readonly EnvironmentVariable[],
): Promise<Record<string, string>> {
  const given: Record<string, string> = {}
  for (const { name, value, valueFrom } of variables) {
    if (value !== undefined) given[name] = value
    if (!valueFrom) continue
    const { name: secret, key, optional = false } = valueFrom.secretKeyRef
    const found = (await secretOf(api, namespace, secret).catch(() => undefined))?.[key]
    if (found) given[name] = found.toString()
    else if (!optional) throw new Error(`the pod needs the secret ${secret} with ${key}`)
  }
  return given
}

async function secretOf(api: Apiserver, namespace: string, name: string): Promise<Record<string, Buffer>> {
  const { data } = (await api.ask('GET', `/api/v1/namespaces/${namespace}/secrets/${name}`)) as {
    data: Record<string, string>
  }
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64')]))
}

/** The path in the image of a file that this machine may have elsewhere. */
function inImage(file: string): string {
  const within = relative(ROOT, file)
  return within.startsWith('..') ? file : join(APP, within)
}
