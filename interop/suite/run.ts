/** Programs that do one thing and end: installers, builds, scripts of clients. They end with the run, whatever happens to it. */
import type { ChildProcess } from 'node:child_process'
import { spawnMarked } from './marked.ts'

export interface RunOptions {
  readonly cwd?: string
  /** Added to the environment of this process. */
  readonly env?: NodeJS.ProcessEnv
  /** After so long it is killed, with everything that it started. */
  readonly timeoutMs: number
  /** What it reads on its standard input. */
  readonly input?: string
}

export interface Output {
  readonly stdout: string
  readonly stderr: string
}

/** It did not start, did not end in time, or ended with something else than 0. */
export class RunFailed extends Error {
  override readonly name = 'RunFailed'
  readonly stdout: string
  readonly stderr: string

  constructor(message: string, { stdout, stderr }: Output) {
    super(message)
    this.stdout = stdout
    this.stderr = stderr
  }
}

/** What it printed. Rejects with RunFailed. */
export async function run(
  command: string,
  args: readonly string[],
  { cwd, env, timeoutMs, input }: RunOptions,
): Promise<Output> {
  const started = spawnMarked(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(env === undefined ? {} : { env }),
    ...(cwd === undefined ? {} : { cwd }),
  })
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    started.kill()
  }, timeoutMs)
  try {
    const { stdout, stderr, end } = await outcome(started.child, input)
    if (end === 0) return { stdout, stderr }
    const how = isLate ? `did not end within ${timeoutMs / 1000} s` : `ended with ${end}`
    throw new RunFailed(`${command} ${how}: ${stderr.trim()}`, { stdout, stderr })
  } finally {
    clearTimeout(timer)
    started.kill()
    started.forget()
  }
}

/** What it printed, and how it ended: its code, the signal, or why it did not start. */
function outcome(
  child: ChildProcess,
  input = '',
): Promise<Output & { readonly end: number | string | null }> {
  const printed = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.setEncoding('utf8').on('data', (text: string) => (printed[name] += text))
  // It may end without reading.
  child.stdin?.on('error', () => {})
  child.stdin?.end(input)
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ ...printed, end: error.message }))
    child.on('close', (code, signal) => resolve({ ...printed, end: code ?? signal }))
  })
}
