/**
 * The gateway as its users run it: the command line in a process of its own, on free ports, with a YAML of the
 * test's. Whatever a test leaves running is killed when its file ends.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll } from 'vitest'
import type { SettingsInput } from '../../src/config/schema.ts'
import { eventually } from './eventually.ts'
import { call, type RawAnswer, type RawCall } from './http.ts'
import { MAIN } from './program.ts'

export interface GatewayOptions {
  /** The settings: YAML, or the same as data. */
  readonly yaml?: string | SettingsInput
  /** A YAML file that is there already, in place of `yaml`. */
  readonly config?: string
  /** The program that starts it, with its arguments before those of Node. */
  readonly launcher?: readonly string[]
  /** Another build of the gateway. */
  readonly main?: string
  /** Further arguments of `serve`. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** A descriptor for the log, which is then not read. */
  readonly stdout?: number
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly event?: string }

export interface RunningGateway {
  readonly url: string
  readonly port: number
  /** Base URL of the admin API. */
  readonly admin: string
  readonly adminPort: number
  /** The YAML it serves; the test may write it anew. */
  readonly file: string
  readonly pid: number
  /** The log so far, a parsed line each. */
  readonly logs: readonly LogLine[]
  readonly stderr: () => string
  /** Resolves with the exit code, null after a signal. */
  readonly exited: Promise<number | null>
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<RawAnswer>
  get(path: string, headers?: Record<string, string>): Promise<RawAnswer>
  /** A call of the admin API. */
  ask(path: string, options?: RawCall): Promise<RawAnswer>
  /** The sum of the samples that carry these labels. */
  metric(name: string, labels?: Record<string, string>): Promise<number>
  signal(signal: NodeJS.Signals): void
  /** Resolves when so many backends of the pool are ready. */
  ready(pool: string, count?: number): Promise<void>
  /** Resolves when /readyz answers 200. */
  up(): Promise<void>
  /** SIGINT, which waits for nothing but running calls, and SIGKILL where that does not end it. */
  stop(): Promise<number | null>
  /** Stops it, with this signal, and starts it again with what its YAML says then, on other ports. */
  restart(signal?: NodeJS.Signals): Promise<void>
}

const folders: string[] = []
const left = new Set<ChildProcess>()
const kill = () => {
  for (const child of left) child.kill('SIGKILL')
}
process.once('exit', kill)
afterAll(async () => {
  await Promise.all(
    [...left].map(async (child) => {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    }),
  )
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

// A hundred times what it takes on a machine that has time for it.
const START_MS = 50_000
const STOP_MS = 10_000

/**
 * Starts `infergate serve` and resolves when both listeners are open and every data worker takes calls. Rejects with what
 * it said when it ends instead.
 */
export async function startGateway(options: GatewayOptions = {}): Promise<RunningGateway> {
  const file = options.config ?? written(options.yaml)
  let process = await launch(options, file)
  return {
    get url() {
      return `http://127.0.0.1:${process.port}`
    },
    get admin() {
      return `http://127.0.0.1:${process.adminPort}`
    },
    get port() {
      return process.port
    },
    get adminPort() {
      return process.adminPort
    },
    get pid() {
      return process.child.pid as number
    },
    get logs() {
      return process.logs
    },
    get exited() {
      return process.exited
    },
    stderr: () => process.stderr(),
    file: file ?? '',
    post: (path, body, headers = {}) =>
      call(process.port, path, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json', ...headers },
      }),
    get: (path, headers = {}) => call(process.port, path, { headers }),
    ask: (path, asked) => call(process.adminPort, path, asked),
    async metric(name, labels = {}) {
      const { text } = await call(process.adminPort, '/metrics')
      return sumOf(text, name, labels)
    },
    signal: (signal) => void process.child.kill(signal),
    async ready(pool, count = 1) {
      await eventually(async () => {
        const { json, text } = await call(process.adminPort, `/api/v1/pools/${pool}`)
        const { backends } = json as { backends: { state: string }[] }
        if (backends.filter(({ state }) => state === 'ready').length !== count) throw new Error(text)
      })
    },
    async up() {
      await eventually(
        async () => {
          const { status, text } = await call(process.adminPort, '/readyz')
          if (status !== 200) throw new Error(text)
        },
        { timeoutMs: START_MS },
      )
    },
    stop: () => ended(process),
    async restart(signal) {
      await ended(process, signal)
      process = await launch(options, file)
    },
  }
}

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs one command of the command line to its end. */
export async function runInfergate(
  args: readonly string[],
  env: Record<string, string> = {},
  input: Uint8Array | string = '',
): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...args], { env: { ...process.env, ...env } })
  left.add(child)
  // Most commands read nothing.
  child.stdin.on('error', () => {}).end(input)
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const [code] = (await once(child, 'close')) as [number | null]
  left.delete(child)
  return { code, stdout, stderr }
}

/** Writes settings to a file of their own and gives its path. */
export function written(yaml: string | SettingsInput | undefined): string | undefined {
  if (yaml === undefined) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'infergate-e2e-'))
  folders.push(folder)
  const file = join(folder, 'infergate.yaml')
  // JSON is YAML as well.
  writeFileSync(file, typeof yaml === 'string' ? yaml : JSON.stringify(yaml, null, 2))
  return file
}

interface Launched {
  readonly child: ChildProcess
  readonly port: number
  readonly adminPort: number
  readonly logs: LogLine[]
  readonly exited: Promise<number | null>
  stderr(): string
}

async function launch(options: GatewayOptions, file: string | undefined): Promise<Launched> {
  const [program, ...before] = [...(options.launcher ?? []), process.execPath]
  const child = spawn(
    program,
    [
      ...before,
      options.main ?? MAIN,
      'serve',
      ...(file === undefined ? [] : ['--config', file]),
      '--listen',
      '127.0.0.1:0',
      '--admin',
      '127.0.0.1:0',
      ...(options.args ?? []),
    ],
    { stdio: ['ignore', options.stdout ?? 'pipe', 'pipe'], env: { ...process.env, ...options.env } },
  )
  left.add(child)
  const logs: LogLine[] = []
  let stderr = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  if (child.stdout) createInterface({ input: child.stdout }).on('line', (line) => logs.push(parsed(line)))
  const exited = once(child, 'exit').then(([code]) => {
    left.delete(child)
    return code as number | null
  })
  const ports = await eventually(
    () => {
      if (child.exitCode !== null || child.signalCode !== null) return undefined
      return child.stdout ? fromLog(logs) : fromGreeting(stderr)
    },
    { timeoutMs: START_MS },
  ).catch((error: Error) => {
    throw new Error(`${error.message}: ${stderr}`)
  })
  if (!ports) throw new Error(`the gateway ended with ${child.exitCode}: ${stderr}`)
  return { child, logs, exited, stderr: () => stderr, ...ports }
}

interface Listening {
  readonly data: { readonly port: number }
  readonly admin: { readonly port: number }
  readonly workers: number
}

function fromLog(logs: readonly LogLine[]): { port: number; adminPort: number } {
  const line = logs.find(({ event }) => event === 'gateway.listening')
  if (!line) throw new Error('the gateway did not say where it listens')
  const { data, admin, workers } = line as unknown as Listening
  // The first listens by then, and each other says when it does.
  const joined = 1 + logs.filter(({ event }) => event === 'worker.ready').length
  if (joined < workers) throw new Error(`${joined} of ${workers} data workers listen`)
  return { port: data.port, adminPort: admin.port }
}

function fromGreeting(stderr: string): { port: number; adminPort: number } {
  const found = /serving on http:\S+:(\d+)[^,]*, admin on http:\S+:(\d+)/.exec(stderr)
  if (!found) throw new Error('the gateway did not greet')
  return { port: Number(found[1]), adminPort: Number(found[2]) }
}

async function ended({ child, exited }: Launched, signal: NodeJS.Signals = 'SIGINT'): Promise<number | null> {
  child.kill(signal)
  const cut = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  const code = await exited
  clearTimeout(cut)
  return code
}

function parsed(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine
  } catch {
    return { line }
  }
}

function sumOf(text: string, name: string, labels: Record<string, string>): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  let sum = 0
  for (const line of text.split('\n')) {
    const found = /^([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (found?.[1] !== name) continue
    const own = (found[2] ?? '').split(/,(?=[a-zA-Z_]+=")/)
    if (wanted.every((label) => own.includes(label))) sum += Number(found[3])
  }
  return sum
}
