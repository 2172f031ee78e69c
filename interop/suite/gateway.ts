/** The gateway as its users run it: `infergate serve` in a process of its own, on free ports. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SettingsInput } from '../../src/config/schema.ts'
import { ask } from './ask.ts'
import { ROOT } from './places.ts'
import { freePorts, type RunningProcess, startProcess } from './processes.ts'
import type { Recorder } from './recorder.ts'

export interface GatewayOptions {
  /** How it is called in messages, and its files in the folder. */
  readonly name: string
  /** The model server. */
  readonly upstream: string
  /** Settings beside the pool `upstream` and a route to it; undefined: `serve --upstream`, all defaults. */
  readonly settings?: SettingsInput
  /** The program that starts it, and its arguments before the gateway's command; undefined: it is started as it is. */
  readonly launcher?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** What /readyz answers once it is to be asked; 503 for one whose models are still to come. Default 200. */
  readonly readyStatus?: number
}

export interface Gateway {
  readonly name: string
  /** Where clients connect. */
  readonly url: string
  /** The admin API. */
  readonly admin: string
  /** While it records: what stands between it and the server, and what it was started with. */
  readonly recording?: { readonly recorder: Recorder; readonly settings: SettingsInput }
  /** Calls that were answered from the cache so far. */
  hits(): Promise<number>
  stop(): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
}

/** With a recorder the gateway asks through it, and never row by row, so that what it sends is the same every time. */
export async function startGateway(
  options: GatewayOptions,
  folder: string,
  recorder?: Recorder,
): Promise<Gateway> {
  if (!recorder) return launch(options, folder)
  const { upstream, settings = WHOLE_CALLS } = options
  const template = JSON.parse(JSON.stringify(settings).replaceAll(upstream, 'UPSTREAM')) as SettingsInput
  const gateway = await launch({ ...options, settings: settingsFor(template, recorder.url) }, folder)
  return { ...gateway, recording: { recorder, settings: template } }
}

const WHOLE_CALLS = {
  pools: { upstream: { backends: [{ url: 'UPSTREAM' }] } },
  routes: [{ name: 'all', pool: 'upstream', cache: { rows: 'never' as const } }],
}

/** Settings of a recording, for a server that stands there. */
export const settingsFor = (template: SettingsInput, url: string): SettingsInput =>
  JSON.parse(JSON.stringify(template).replaceAll('UPSTREAM', url)) as SettingsInput

async function launch(options: GatewayOptions, folder: string): Promise<Gateway> {
  const { name, upstream, settings, launcher = [], env = {}, readyStatus = 200 } = options
  const [port, adminPort] = await freePorts(2)
  const [url, admin] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${adminPort}`]
  const log = join(folder, `gateway-${name}.log`)
  const [command, ...args] = [...launcher, globalThis.process.execPath]
  const process = await startProcess({
    name: `the gateway ${name}`,
    command,
    args: [
      ...args,
      join(ROOT, 'src', 'main.ts'),
      'serve',
      ...(settings === undefined ? ['--upstream', upstream] : ['--config', file(options, folder)]),
      ...['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`],
    ],
    env,
    log,
    ready: async () => (await ask(admin, { path: '/readyz' })).status === readyStatus,
    deadlineMs: 60_000,
  })
  return runningGateway({ name, url, admin, process })
}

/** JSON is YAML as well. */
function file({ name, settings }: GatewayOptions, folder: string): string {
  const path = join(folder, `gateway-${name}.yaml`)
  writeFileSync(path, JSON.stringify(settings, null, 2))
  return path
}

function runningGateway(parts: {
  name: string
  url: string
  admin: string
  process: RunningProcess
}): Gateway {
  const { name, url, admin, process } = parts
  return {
    name,
    url,
    admin,
    async hits() {
      const { body } = await ask(admin, { path: '/metrics' })
      const samples = body.toString().matchAll(/^infergate_calls_total\{[^}]*cache="hit"[^}]*\} (\d+)/gm)
      return [...samples].reduce((sum, [, value]) => sum + Number(value), 0)
    },
    stop: () => process.stop(),
    kill: () => process.kill(),
  }
}
