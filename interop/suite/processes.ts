/**
 * Processes of a run, each with all that it starts in turn. Model servers leave children behind (TorchServe's Java,
 * Triton's server, Ray's daemons, some of them in sessions of their own), so a process group is not enough: every
 * process inherits a mark in its environment, and whoever carries it is ended.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import net from 'node:net'
import { eventually } from './eventually.ts'

const MARK = 'INFERGATE_INTEROP_PROCESS'
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

const marks = new Set<string>()

/** Starts a process and resolves when it is ready; rejects with the end of its log where it is not in time. */
export async function startProcess(command: Command): Promise<RunningProcess> {
  const mark = randomUUID()
  const child = launch(command, mark)
  const running = runningProcess(child, mark)
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

/** Ends whatever is still running, without waiting: for the end of this process. */
export function killAll(): void {
  for (const mark of marks) killMarked(mark)
}

export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  await once(server, 'close')
  return port
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

function launch({ command, args, env, cwd, log }: Command, mark: string): ChildProcess {
  const output = openSync(log, 'a')
  marks.add(mark)
  try {
    return spawn(command, args, {
      stdio: ['ignore', output, output],
      env: { ...process.env, ...env, [MARK]: mark },
      detached: true,
      ...(cwd === undefined ? {} : { cwd }),
    })
  } finally {
    closeSync(output)
  }
}

function runningProcess(child: ChildProcess, mark: string): RunningProcess {
  let failure: number | NodeJS.Signals | undefined
  child.on('error', () => (failure = 127))
  child.on('exit', (code, signal) => (failure = code ?? signal ?? 0))
  const gone = async (timeoutMs: number) => {
    await eventually(
      () => {
        if (marked(mark).length > 0) throw new Error('it still runs')
      },
      { timeoutMs, everyMs: 50 },
    )
    marks.delete(mark)
  }
  const kill = async () => {
    killMarked(mark)
    await gone(END_MS)
  }
  return {
    pid: child.pid ?? -1,
    ended: () => failure,
    kill,
    async stop() {
      child.kill('SIGTERM')
      await gone(END_MS).catch(kill)
    },
  }
}

function killMarked(mark: string): void {
  for (const pid of marked(mark)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended between the look and the signal.
    }
  }
}

/** The processes that carry the mark and still run: Linux shows every process's environment to its owner. */
function marked(mark: string): number[] {
  const wanted = `${MARK}=${mark}`
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => environmentOf(pid).includes(wanted))
    .map(Number)
}

function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1')
  } catch {
    return ''
  }
}
