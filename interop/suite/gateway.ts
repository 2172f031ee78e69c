/** The gateway as its users run it: `infergate serve` in a process of its own, on free ports. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SettingsInput } from '../../src/config/schema.ts'
import { ask } from './ask.ts'
import { ROOT } from './places.ts'
import { freePorts, type RunningProcess, startProcess } from './processes.ts'

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
  /** Calls that were answered from the cache so far. */
  hits(): Promise<number>
  stop(): Promise<void>
}

export async function startGateway(options: GatewayOptions, folder: string): Promise<Gateway> {
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
  }
}
