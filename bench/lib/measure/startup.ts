/** How long a gateway without a model takes from the start of its process until /readyz says 200, as the package has it. */
import { writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { bundle } from '../../../scripts/bundle.ts'
import { callerSettings } from '../caller-settings.ts'
import { freePort, type Pinned, SERVER_CORE, start } from '../process.ts'
import { rssMiB } from '../procfs.ts'
import type { Measure, Round } from '../scenario.ts'
import type { Measurement, Opened, Terms } from '../subject.ts'

const DEADLINE_MS = 20_000
const POLL_MS = 5
const CACHE = join(import.meta.dirname, '..', '..', '..', '.cache')
/** The gateway as it is installed. */
export const BUNDLE: string = join(CACHE, 'gateway')

type StartupMeasure = Extract<Measure, { kind: 'startup' }>

export async function openStartup({ tenants }: StartupMeasure, { folder }: Terms): Promise<Opened> {
  const callers = tenants === undefined ? '' : callerSettings(folder, tenants)
  await bundle(BUNDLE)
  const round = async (): Promise<Measurement> => ({
    round: await startOnce(join(BUNDLE, 'main.js'), folder, callers),
  })
  // The files are in the page cache then, as they are on a machine that has started it before.
  return async () => ({ warm: async () => void (await round()), round })
}

/** @param callers a part of the YAML */
export async function startOnce(main: string, folder: string, callers = ''): Promise<Round> {
  const [port, admin, backend] = [await freePort(), await freePort(), await freePort()]
  const file = join(folder, 'start.yaml')
  const yaml = `server: { listen: "127.0.0.1:${port}" }
admin: { listen: "127.0.0.1:${admin}" }
log: { level: warn }
${callers}
pools: { bench: { backends: [ { url: "http://127.0.0.1:${backend}" } ], health: { path: off } } }
routes: [ { name: bench, pool: bench, cache: { enabled: true } } ]
`
  writeFileSync(file, yaml)
  const began = performance.now()
  const gateway = start({
    core: SERVER_CORE,
    command: process.execPath,
    args: [main, 'serve', '--config', file],
    // As `npm start` has it.
    env: { NODE_COMPILE_CACHE: join(CACHE, 'compile') },
  })
  try {
    while ((await statusOf(`http://127.0.0.1:${admin}/readyz`)) !== 200) {
      if (performance.now() - began > DEADLINE_MS) throw new Error(`not ready after ${DEADLINE_MS} ms`)
      throwFailure(gateway)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
    const readyMs = performance.now() - began
    return { readyMs, cpuMs: gateway.cpuMicros() / 1000, rssMiB: rssMiB(gateway.pid) }
  } finally {
    await gateway.stop()
  }
}

function throwFailure(gateway: Pinned): void {
  const failure = gateway.failure()
  if (failure !== undefined) throw new Error(failure)
}

function statusOf(url: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const sent = get(url, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    sent.on('error', () => resolve(undefined))
    sent.setTimeout(1000, () => sent.destroy())
  })
}
