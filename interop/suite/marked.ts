/**
 * Child processes that can be ended with all that they start in turn. Model servers leave children behind (TorchServe's
 * Java, Triton's server, Ray's daemons, some of them in sessions of their own), so a process group is not enough: every
 * process inherits a mark in its environment, and whoever carries it is ended.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'

const MARK = 'INFERGATE_INTEROP_PROCESS'

export interface MarkedProcess {
  readonly child: ChildProcess
  /** Whether anything that carries the mark still runs. */
  runs(): boolean
  /** SIGKILL to it and everything that it started. */
  kill(): void
  /** To be called when all of it has ended. */
  forget(): void
}

const all = new Set<MarkedProcess>()

/** `env` is added to the environment of this process. */
export function spawnMarked(
  command: string,
  args: readonly string[],
  { env, ...options }: SpawnOptions,
): MarkedProcess {
  const mark = randomUUID()
  const child = spawn(command, args, {
    ...options,
    detached: true,
    env: { ...process.env, ...env, [MARK]: mark },
  })
  const started: MarkedProcess = {
    child,
    runs: () => marked(mark).length > 0,
    kill() {
      // A program that writes its own title (Redis) writes over its environment, and with it over the mark.
      child.kill('SIGKILL')
      for (const pid of marked(mark)) killIfThere(pid)
    },
    forget: () => void all.delete(started),
  }
  all.add(started)
  return started
}

/** Ends whatever is still running, without waiting: for the end of this process. */
export function killAll(): void {
  for (const started of all) started.kill()
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended between the look and the signal.
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
