/** Processes of a measurement: pinned to their cores, with the processor time they took, and gone at the end. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { cpuMicros } from './procfs.ts'

export const SERVER_CORE = 0
export const LOAD_CORE = 1
/** Of util-linux: runs a program on the cores it is told. */
export const TASKSET = 'taskset'

export interface Pinned {
  readonly pid: number
  /** Processor time of it and its children so far, in microseconds. */
  cpuMicros(): number
  /** What it said when it ended by itself; undefined while it runs. */
  failure(): string | undefined
  stop(): Promise<void>
}

const running = new Set<Pinned>()

export interface Command {
  /** One core, or a list of them as taskset has it. */
  readonly core: number | string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a program on its cores. */
export function start({ core, command, args, env }: Command): Pinned {
  const child = spawn(TASKSET, ['-c', String(core), command, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
    detached: true,
  })
  let errors = ''
  let failure: string | undefined
  child.stderr.on('data', (piece: Buffer) => (errors = (errors + piece.toString()).slice(-4000)))
  child.on('error', (error) => (failure = error.message))
  child.on('close', (code, signal) => (failure = `${command} ended with ${code ?? signal}: ${errors.trim()}`))
  const pinned: Pinned = {
    pid: child.pid ?? -1,
    cpuMicros: () => cpuMicros(child.pid ?? -1),
    failure: () => failure,
    async stop() {
      running.delete(pinned)
      await end(child)
    },
  }
  running.add(pinned)
  return pinned
}

export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((one) => one.stop()))
}

// Long enough to write a profile at the end.
const END_MS = 10_000

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  const cut = setTimeout(() => signal(child, 'SIGKILL'), END_MS)
  signal(child, 'SIGTERM')
  await gone
  clearTimeout(cut)
}

/** To the whole group: some servers have workers that outlive a killed master. */
function signal(child: ChildProcess, name: NodeJS.Signals): void {
  try {
    process.kill(-(child.pid ?? 0), name)
  } catch {
    // It has ended already.
  }
}

export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Until somebody accepts connections on the port, or the one who should has ended. */
export async function listening(port: number, server?: Pinned, timeoutMs = 15_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const socket = net.connect({ port, host: '127.0.0.1' })
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return
    const failure = server?.failure()
    if (failure !== undefined) throw new Error(failure)
    if (performance.now() > deadline) throw new Error(`nobody listens on port ${port}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
