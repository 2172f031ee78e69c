/** Processes of a measurement: pinned to one core, with the processor time they took, and gone at the end. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import net from 'node:net'

export const SERVER_CORE = 0
export const LOAD_CORE = 1
/** Of util-linux: runs a program on the cores it is told. */
export const TASKSET = 'taskset'

export interface Pinned {
  readonly pid: number
  /** Processor time of it and its children so far, in microseconds. */
  cpuMicros(): number
  stop(): Promise<void>
}

const running = new Set<Pinned>()

export interface Command {
  readonly core: number
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a program on one core. What it writes to stderr is shown when it ends by itself. */
export function start({ core, command, args, env }: Command): Pinned {
  const child = spawn(TASKSET, ['-c', String(core), command, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
    detached: true,
  })
  let errors = ''
  let stopping = false
  child.stderr.on('data', (piece: Buffer) => (errors = (errors + piece.toString()).slice(-4000)))
  child.on('exit', (code) => {
    if (!stopping) process.stderr.write(`${command} ended with ${code}\n${errors}\n`)
  })
  const pinned: Pinned = {
    pid: child.pid ?? -1,
    cpuMicros: () => family(child.pid ?? -1).reduce((sum, pid) => sum + ticks(pid), 0) * MICROS_PER_TICK,
    async stop() {
      stopping = true
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

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  const cut = setTimeout(() => signal(child, 'SIGKILL'), 3000)
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

// USER_HZ is 100 on every Linux that has a /proc.
const MICROS_PER_TICK = 10_000

function ticks(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
  } catch {
    return 0
  }
}

function family(root: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const fields = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
      parents.set(Number(name), Number(fields[1]))
    } catch {
      // It ended meanwhile.
    }
  }
  const isOurs = (pid: number): boolean =>
    pid === root || (parents.has(pid) && isOurs(parents.get(pid) as number))
  return [...parents.keys()].filter((pid) => isOurs(pid))
}

export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Until somebody accepts connections on the port. */
export async function listening(port: number, timeoutMs = 15_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const socket = net.connect({ port, host: '127.0.0.1' })
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return
    if (performance.now() > deadline) throw new Error(`nobody listens on port ${port}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
