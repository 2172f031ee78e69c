/** Starts Redis, Valkey, their Sentinels and clusters, and Memcached, and asks them. */

import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { eventually } from '../../suite/eventually.ts'
import { freePorts, listens } from '../../suite/processes.ts'
import type { Server, Session } from '../../suite/session.ts'

/** A program that speaks RESP: Redis or Valkey. */
export interface RespProgram {
  readonly name: string
  readonly command: string
}

export interface RespServer extends Server {
  readonly port: number
  /** `host:port`. */
  readonly address: string
  /** The answer to one inline command, as it is on the wire. */
  says(line: string): Promise<string>
  freeze(): void
  thaw(): void
}

const SETTLED_MS = 30_000

/** `configuration`: lines of a file, for what the command line cannot say. */
export async function startResp(
  session: Session,
  { name, command }: RespProgram,
  {
    args = [],
    configuration = [] as string[],
    shown,
  }: { args?: string[]; configuration?: string[]; shown?: string },
): Promise<RespServer> {
  const [port] = (await freePorts(1)) as [number]
  const cwd = join(session.folder, `${name}-${port}`)
  mkdirSync(cwd)
  writeFileSync(join(cwd, 'server.conf'), configuration.map((line) => `${line}\n`).join(''))
  const says = (line: string) => tellResp(port, line)
  const server = await session.start(
    {
      name: `${name} on ${port}`,
      command,
      args: ['server.conf', ...args, '--port', `${port}`, '--bind', '127.0.0.1'],
      cwd,
      ready: async () => /PONG|NOAUTH/.test(await says('PING')),
    },
    shown,
  )
  return Object.assign(server, {
    port,
    address: `127.0.0.1:${port}`,
    says,
    freeze: () => void process.kill(server.pid, 'SIGSTOP'),
    thaw: () => void process.kill(server.pid, 'SIGCONT'),
  })
}

async function tellResp(port: number, line: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1')
  try {
    const answer = once(socket, 'data', { signal: AbortSignal.timeout(2_000) })
    socket.write(`${line}\r\n`)
    return String((await answer)[0])
  } finally {
    socket.destroy()
  }
}

const PLAIN = ['--save', '', '--appendonly', 'no', '--repl-diskless-sync-delay', '0']

/** Repeats a command until its answer is as wanted. */
function until(server: RespServer, line: string, wanted: RegExp): Promise<void> {
  return eventually(
    async () => {
      const said = await server.says(line)
      if (!wanted.test(said)) throw new Error(`${line}: ${said}`)
    },
    { timeoutMs: SETTLED_MS },
  )
}

export interface Pair {
  readonly primary: RespServer
  readonly replica: RespServer
}

/** A primary `main`, its replica, and three Sentinels that take a server for down after half a second. */
export async function startSentinels(
  session: Session,
  program: RespProgram,
): Promise<Pair & { readonly nodes: string[] }> {
  const primary = await startResp(session, program, { args: PLAIN })
  const replica = await startResp(session, program, {
    args: [...PLAIN, '--replicaof', '127.0.0.1', `${primary.port}`],
  })
  await until(replica, 'INFO replication', /master_link_status:up/)
  const configuration = [
    `sentinel monitor main 127.0.0.1 ${primary.port} 2`,
    'sentinel down-after-milliseconds main 500',
    'sentinel failover-timeout main 2000',
  ]
  const sentinels = await Promise.all(
    Array.from({ length: 3 }, () => startResp(session, program, { args: ['--sentinel'], configuration })),
  )
  for (const sentinel of sentinels)
    await until(
      sentinel,
      'SENTINEL MASTER main',
      /num-slaves\r\n\$1\r\n1\r\n[^]*num-other-sentinels\r\n\$1\r\n2\r\n/,
    )
  return { primary, replica, nodes: sentinels.map(({ address }) => address) }
}

export interface Cluster {
  readonly shards: readonly Pair[]
  shardOf(key: string): Promise<Pair>
}

/** Three primaries with a replica each, which take over from one that was silent for a second. */
export async function startCluster(session: Session, program: RespProgram): Promise<Cluster> {
  const args = [
    ...['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', '--cluster-announce-ip', '127.0.0.1'],
    ...['--cluster-require-full-coverage', 'no', '--cluster-config-file', 'nodes.conf'],
  ]
  const nodes = await Promise.all(
    (await freePorts(6)).map(async (bus) => {
      const each = [...PLAIN, ...args, '--cluster-port', `${bus}`]
      return { server: await startResp(session, program, { args: each }), bus }
    }),
  )
  const servers = nodes.map(({ server }) => server)
  const ends = [0, 5461, 10_923, 16_384]
  const shards = [0, 1, 2].map((n) => ({
    primary: servers[n] as RespServer,
    replica: servers[n + 3] as RespServer,
  }))
  for (const [n, { primary }] of shards.entries()) {
    await primary.says(`CLUSTER ADDSLOTSRANGE ${ends[n]} ${(ends[n + 1] as number) - 1}`)
    // Equal epochs would have to be settled first.
    await primary.says(`CLUSTER SET-CONFIG-EPOCH ${n + 1}`)
  }
  const [first] = shards as [Pair]
  for (const { server, bus } of nodes.slice(1))
    await first.primary.says(`CLUSTER MEET 127.0.0.1 ${server.port} ${bus}`)
  for (const { primary, replica } of shards) {
    const id = /\r\n(\w{40})/.exec(await primary.says('CLUSTER MYID'))?.[1]
    await until(replica, `CLUSTER REPLICATE ${id}`, /OK/)
  }
  for (const { replica } of shards) await until(replica, 'INFO replication', /master_link_status:up/)
  for (const server of servers) {
    await until(server, 'CLUSTER INFO', /cluster_state:ok[^]*cluster_known_nodes:6[^]*cluster_size:3/)
    await until(server, 'CLUSTER NODES', /(?:[ ,]slave [^]*){3}/)
  }
  return {
    shards,
    async shardOf(key) {
      const slot = Number((await first.primary.says(`CLUSTER KEYSLOT ${key}`)).slice(1))
      return shards[ends.findLastIndex((end) => slot >= end)] as Pair
    },
  }
}

/** Kills a primary whose replica lacks what `write` has written last. */
export async function killBehind({ primary, replica }: Pair, write: () => Promise<unknown>): Promise<void> {
  replica.freeze()
  await primary.says('CLIENT KILL TYPE replica')
  await write()
  await primary.kill()
  replica.thaw()
}

export interface MemcachedServer extends Server {
  readonly address: string
}

export async function startMemcached(
  session: Session,
  options: {
    readonly args?: readonly string[]
    readonly env?: Record<string, string>
    readonly shown?: string
    /** Where it listens in place of a port. */
    readonly socket?: string
  } = {},
): Promise<MemcachedServer> {
  const { args = [], env = {}, shown, socket } = options
  const [port] = (await freePorts(1)) as [number]
  const user = process.getuid?.() === 0 ? ['-u', 'root'] : []
  const at = socket === undefined ? ['-p', `${port}`, '-U', '0', '-l', '127.0.0.1'] : ['-s', socket]
  const server = await session.start(
    {
      name: `Memcached on ${socket === undefined ? port : 'a socket'}`,
      command: 'memcached',
      args: [...at, ...user, ...args],
      env,
      ready: () => listens(socket ?? port),
    },
    shown,
  )
  return Object.assign(server, { address: socket === undefined ? `127.0.0.1:${port}` : `unix:${socket}` })
}
