/** Servers of a run: started until they are ready, stopped with all that they have started in turn. */
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import net from 'node:net'
import { eventually, within } from './eventually.ts'
import { type MarkedProcess, spawnMarked } from './marked.ts'

const END_MS = 15_000

export interface Command {
  /** What it is called in messages. */
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Where its standard output and standard error go. */
  readonly log: string
  /** Rejects or gives false as long as the process cannot be asked; undefined: it is ready at once. */
  ready?(): Promise<boolean>
  /** How long it may take to become ready, in milliseconds. */
  readonly deadlineMs?: number
}

export interface RunningProcess {
  readonly pid: number
  /** The exit code or the signal; undefined while it runs. */
  ended(): number | NodeJS.Signals | undefined
  /** SIGTERM to the first process, and after a while SIGKILL to everything that it left. */
  stop(): Promise<void>
  /** SIGKILL to it and everything that it started, at once. */
  kill(): Promise<void>
}

/** Starts a process and resolves when it is ready; rejects with the end of its log where it is not in time. */
export async function startProcess(command: Command): Promise<RunningProcess> {
  const running = runningProcess(launch(command))
  const { ready, deadlineMs = 120_000 } = command
  try {
    await eventually(
      async () => {
        if (running.ended() !== undefined) return
        if (ready && !(await ready())) throw new Error('it is not ready')
      },
      { timeoutMs: deadlineMs, everyMs: 100 },
    )
    if (running.ended() !== undefined) throw new Error(`it ended with ${running.ended()}`)
    return running
  } catch (error) {
    await running.kill()
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(
      `${command.name} did not start within ${deadlineMs / 1000} s: ${reason}\n${tail(command.log)}`,
      { cause: error },
    )
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

/** True where something takes connections there, at a port of this machine or a Unix socket; rejects where nothing does. */
export async function listens(at: number | string): Promise<true> {
  const socket = typeof at === 'number' ? net.connect(at, '127.0.0.1') : net.connect(at)
  await once(socket, 'connect').finally(() => socket.destroy())
  return true
}

/** So many ports that are free now, all different. */
export const freePorts = (count: number): Promise<number[]> =>
  Promise.all(Array.from({ length: count }, () => freePort()))

/** The last lines of a log. */
export function tail(log: string, lines = 12): string {
  try {
    return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  } catch {
    return ''
  }
}

function launch({ command, args, env, cwd, log }: Command): MarkedProcess {
  const output = openSync(log, 'a')
  try {
    return spawnMarked(command, args, {
      stdio: ['ignore', output, output],
      ...(env === undefined ? {} : { env }),
      ...(cwd === undefined ? {} : { cwd }),
    })
  } finally {
    closeSync(output)
  }
}

function runningProcess({ child, runs, kill: killMarked, forget }: MarkedProcess): RunningProcess {
  let end: number | NodeJS.Signals | undefined
  const ended = new Promise<void>((resolve) => {
    child.on('error', () => resolve(void (end = 127)))
    child.on('exit', (code, signal) => resolve(void (end = code ?? signal ?? 0)))
  })
  const gone = async (timeoutMs: number) => {
    await within(timeoutMs, 'its end', ended)
    await eventually(
      () => {
        if (runs()) throw new Error('what it started still runs')
      },
      { timeoutMs, everyMs: 50 },
    )
    forget()
  }
  const kill = async () => {
    killMarked()
    await gone(END_MS)
  }
  return {
    pid: child.pid ?? -1,
    ended: () => end,
    kill,
    async stop() {
      child.kill('SIGTERM')
      await gone(END_MS).catch(kill)
    },
  }
}
