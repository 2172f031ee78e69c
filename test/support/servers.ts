/** Real redis-server and memcached processes on free ports of the loopback, which can be frozen and killed. */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { eventually } from './eventually.ts'

export interface TestServer {
  readonly port: number
  readonly url: string
  /** Kills the process, frozen or not. */
  stop(): Promise<void>
  /** SIGSTOP: connections stay open, nothing answers. */
  freeze(): void
  thaw(): void
  /** Starts it on the same port; what it held is gone. */
  start(): Promise<void>
  restart(): Promise<void>
}

interface Program {
  readonly command: string
  readonly debianPackage: string
  readonly scheme: string
  args(port: number): string[]
  /** Written as `server.conf` into the folder where it runs. */
  readonly configuration?: string
  /** Where it listens in place of the port. */
  readonly socket?: string
}

const redis: Program = {
  command: 'redis-server',
  debianPackage: 'redis-server',
  scheme: 'redis',
  args: (port) => ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
}

const memcached: Program = {
  command: 'memcached',
  debianPackage: 'memcached',
  scheme: 'memcached',
  args: (port) => ['-p', `${port}`, '-U', '0', '-l', '127.0.0.1', '-u', 'nobody', '-t', '1', '-m', '64'],
}

export interface StartOptions {
  /** Arguments after ours. */
  readonly args?: readonly string[]
  /** False: only the port is chosen; `start()` starts it. */
  readonly running?: boolean
}

export interface RedisStartOptions extends StartOptions {
  /** As the one node of a cluster, with every slot; or without any, as one that is to join others. */
  readonly cluster?: boolean | 'empty'
}

export interface RedisServer extends TestServer {
  /** On which the nodes of a cluster talk to each other. */
  readonly busPort: number
}

export async function startRedis({
  cluster = false,
  args = [],
  ...options
}: RedisStartOptions = {}): Promise<RedisServer> {
  if (!cluster) return { ...(await startServer(redis, { ...options, args })), busPort: 0 }
  const { server, busPort } = await onFreePorts(async () => {
    const busPort = await freePort()
    const bus = ['--cluster-port', `${busPort}`, '--cluster-announce-ip', '127.0.0.1']
    const own = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', ...bus]
    return { busPort, server: await openOn(await freePort(), redis, { ...options, args: [...own, ...args] }) }
  })
  if (cluster !== 'empty') {
    await eventually(async () =>
      expect(await redisSays(server.port, 'CLUSTER ADDSLOTSRANGE 0 16383')).toMatch(/OK|busy/),
    )
    await eventually(
      async () => expect(await redisSays(server.port, 'CLUSTER INFO')).toMatch(/cluster_state:ok/),
      {
        timeoutMs: 15_000,
      },
    )
  }
  return { ...server, busPort }
}

/** What a Redis answers to one inline command, as it is on the wire. */
export async function redisSays(port: number, line: string, password?: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1')
  try {
    if (password !== undefined) {
      socket.write(`AUTH ${password}\r\n`)
      await once(socket, 'data')
    }
    const answer = once(socket, 'data')
    socket.write(`${line}\r\n`)
    return String((await answer)[0])
  } finally {
    socket.destroy()
  }
}

export interface SentinelStartOptions extends StartOptions {
  /** The primary's name. */
  readonly name: string
  readonly primary: { readonly port: number }
  /** How many Sentinels have to agree that the primary is down. */
  readonly quorum: number
  /** Further lines of the configuration. */
  readonly lines?: readonly string[]
}

/** A Redis Sentinel that takes a primary for down after half a second. */
export function startSentinel({
  name,
  primary,
  quorum,
  lines = [],
  ...options
}: SentinelStartOptions): Promise<TestServer> {
  const configuration = [
    `sentinel monitor ${name} 127.0.0.1 ${primary.port} ${quorum}`,
    `sentinel down-after-milliseconds ${name} 500`,
    // Until another attempt at a failover is made.
    `sentinel failover-timeout ${name} 2000`,
    ...lines,
  ]
  const args = (port: number) => ['server.conf', '--sentinel', '--port', `${port}`, '--bind', '127.0.0.1']
  return startServer({ ...redis, args, configuration: `${configuration.join('\n')}\n` }, options)
}

export interface MemcachedStartOptions extends StartOptions {
  /** The path of a Unix socket; in place of a port, as Memcached has either. */
  readonly socket?: string
}

export function startMemcached({ socket, ...options }: MemcachedStartOptions = {}): Promise<TestServer> {
  if (socket === undefined) return startServer(memcached, options)
  const args = () => ['-s', socket, '-a', '666', '-u', 'nobody', '-t', '1', '-m', '64']
  return startServer({ ...memcached, args, socket }, options)
}

function startServer(program: Program, options: StartOptions): Promise<TestServer> {
  return onFreePorts(async () => openOn(await freePort(), program, options))
}

/** A port that was free may be taken before the server listens on it: the server ends then, and another port is tried. */
async function onFreePorts<T>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++)
    try {
      return await start()
    } catch (error) {
      if (attempt === 3 || !(error instanceof EndedAtOnce)) throw error
    }
}

/** A server that has ended before it could be reached. */
class EndedAtOnce extends Error {}

async function openOn(
  port: number,
  program: Program,
  { args = [], running = true }: StartOptions,
): Promise<TestServer> {
  let child: ChildProcess | undefined
  let cwd = ''

  async function start(): Promise<void> {
    cwd = await mkdtemp(join(tmpdir(), `${program.command}-`))
    if (program.configuration !== undefined) await writeFile(join(cwd, 'server.conf'), program.configuration)
    const said = join(cwd, 'output')
    const output = await open(said, 'w')
    const stdio: StdioOptions = ['ignore', output.fd, output.fd]
    child = spawn(program.command, [...program.args(port), ...args], { stdio, cwd })
    await output.close()
    const failed = once(child, 'error').then(([error]) => {
      throw explain(program, error as NodeJS.ErrnoException)
    })
    const ended = once(child, 'exit').then(async () => {
      throw new EndedAtOnce(`${program.command} has ended: ${await readFile(said, 'utf8').catch(() => '')}`)
    })
    await Promise.race([failed, ended, eventually(() => connectable(program.socket ?? port))])
    for (const late of [failed, ended]) late.catch(() => {})
  }

  async function stop(): Promise<void> {
    const leaving = child
    child = undefined
    if (!leaving || leaving.exitCode !== null || leaving.signalCode !== null) return
    const gone = once(leaving, 'exit')
    leaving.kill('SIGKILL')
    await gone
    await rm(cwd, { recursive: true, force: true })
  }

  if (running) await start()
  return {
    port,
    url: `${program.scheme}://127.0.0.1:${port}`,
    start,
    stop,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async restart() {
      await stop()
      await start()
    },
  }
}

function explain({ command, debianPackage }: Program, error: NodeJS.ErrnoException): Error {
  if (error.code !== 'ENOENT') return error
  return new Error(`${command} is not installed: the tests need it (apt-get install ${debianPackage})`)
}

async function connectable(at: number | string): Promise<void> {
  const socket = typeof at === 'string' ? net.connect(at) : net.connect(at, '127.0.0.1')
  try {
    await once(socket, 'connect')
  } finally {
    socket.destroy()
  }
}

/**
 * A port on which nobody listens. It is none that the system gives out for port 0 or to a connection, so that nobody takes it
 * before it is listened on, or while a server that had it is away.
 */
export async function freePort(): Promise<number> {
  const [first, end] = [10_000, 32_000]
  for (;;) {
    const port = first + Math.floor(Math.random() * (end - first))
    const server = net.createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!isFree) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}
