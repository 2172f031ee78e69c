/** The model server as a process, for tests. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { MAIN } from './program.ts'

const root = new URL('../../', import.meta.url)

/** A file under `models/`. */
export const modelFile = (name: string): string => fileURLToPath(new URL(`models/${name}`, root))

export interface ModelProcess {
  readonly url: string
  readonly child: ChildProcess
  /** The log so far, a parsed line each. */
  readonly log: readonly Readonly<Record<string, unknown>>[]
  post(path: string, body: string | object, headers?: Record<string, string>): Promise<Response>
  /** Sends the signal and resolves to the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

export interface Ended {
  readonly code: number | null
  readonly stderr: string
}

const launch = (args: readonly string[], env: Record<string, string> = {}) =>
  spawn(process.execPath, [MAIN, 'model-server', ...args], {
    stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, ...env },
  })

/** Runs a command line that is expected to end by itself. */
export async function runModelServer(...args: readonly string[]): Promise<Ended> {
  const child = launch(args)
  let stderr = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stderr }
}

/** Starts a server and resolves when it said that every model is ready. */
export async function startModelServer(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<ModelProcess> {
  const child = launch(args, env)
  const log: Record<string, unknown>[] = []
  if (!child.stderr) throw new Error('no standard error to read')
  createInterface({ input: child.stderr }).on('line', (line) => log.push(parse(line)))
  const url = await new Promise<string>((resolve, reject) => {
    let heard = ''
    child.on('message', (message: { type: string; url?: string }) => {
      if (message.type === 'listening') heard = message.url ?? ''
      if (message.type === 'ready') resolve(heard)
    })
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${JSON.stringify(log)}`)))
  })
  return {
    url,
    child,
    log,
    post: (path, body, headers = {}) =>
      fetch(url + path, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers,
      }),
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
      const ended = once(child, 'exit') as Promise<[number | null]>
      child.kill(signal)
      return (await ended)[0]
    },
  }
}

function parse(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return { line }
  }
}

export interface RegistryCall {
  readonly method: string
  readonly path: string
  readonly body: Readonly<Record<string, unknown>>
  readonly authorization: string | undefined
  /** Monotonic milliseconds. */
  readonly at: number
}

export interface Registry {
  readonly url: string
  readonly calls: readonly RegistryCall[]
  /** The calls of one method, oldest first. */
  of(method: string): readonly RegistryCall[]
  /** Takes the place of the ordinary answer from now on; undefined leaves that. */
  answer: (call: RegistryCall) => { status: number; body?: object; location?: string } | undefined
  close(): Promise<void>
}

/** A registry that grants leases to be renewed every 100 ms, or answers as the test says. */
export async function startRegistry(): Promise<Registry> {
  const calls: RegistryCall[] = []
  let generation = 0
  const ordinary = ({ method }: RegistryCall) => {
    if (method === 'PUT') generation += 1
    const status = method === 'PUT' ? 201 : method === 'DELETE' ? 202 : 200
    return { status, body: { generation, ttlMs: 15_000, renewAfterMs: 100 } }
  }
  const hear = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let text = ''
    for await (const chunk of request) text += String(chunk)
    const call: RegistryCall = {
      method: request.method ?? '',
      path: request.url ?? '',
      body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
      authorization: request.headers.authorization,
      at: performance.now(),
    }
    calls.push(call)
    const { status, body, location }: ReturnType<Registry['answer']> & object =
      registry.answer(call) ?? ordinary(call)
    response.writeHead(status, { 'content-type': 'application/json', ...(location ? { location } : {}) })
    response.end(JSON.stringify(body ?? {}))
  }
  const server = createServer((request, response) => void hear(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const registry: Registry = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    of: (method) => calls.filter((call) => call.method === method),
    answer: () => undefined,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return registry
}
