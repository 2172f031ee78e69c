/** Redis as it is run: a primary with its replica behind three Sentinels, and a cluster of primaries with a replica each. */
import { expect } from 'vitest'
import { eventually } from './eventually.ts'
import { type RedisServer, redisSays, startRedis, startSentinel, type TestServer } from './servers.ts'

/** Elections, full copies and news that servers tell each other take seconds, and more on a busy machine. */
export const SETTLED = { timeoutMs: 20_000 }

export interface SentinelGroup {
  readonly primary: TestServer
  readonly replica: TestServer
  readonly sentinels: readonly TestServer[]
  /** `host:port` of the Sentinels, which call the primary `main`. */
  readonly nodes: readonly string[]
  stop(): Promise<void>
}

export interface SentinelGroupOptions {
  /** Further lines of each Sentinel's configuration. */
  readonly lines?: readonly string[]
  /** Of the servers. */
  readonly password?: string
  /** Further arguments of the first primary. */
  readonly primaryArgs?: readonly string[]
}

export const addressOf = ({ port }: { readonly port: number }): string => `127.0.0.1:${port}`

/** Resolves when the Sentinels know each other and the replica, and the replica has what the primary has. */
export async function startSentinelGroup(options: SentinelGroupOptions = {}): Promise<SentinelGroup> {
  const { lines = [], password, primaryArgs = [] } = options
  const secured = password === undefined ? [] : ['--requirepass', password, '--masterauth', password]
  const args = ['--repl-diskless-sync-delay', '0', ...secured]
  const primary = await startRedis({ args: [...args, ...primaryArgs] })
  const replica = await startRedis({ args: [...args, '--replicaof', '127.0.0.1', `${primary.port}`] })
  await eventually(
    async () =>
      expect(await redisSays(replica.port, 'INFO replication', password)).toMatch(/master_link_status:up/),
    SETTLED,
  )
  const auth = password === undefined ? [] : [`sentinel auth-pass main ${password}`]
  const sentinels = await Promise.all(
    Array.from({ length: 3 }, () =>
      startSentinel({ name: 'main', primary, quorum: 2, lines: [...auth, ...lines] }),
    ),
  )
  const theirs = /^requirepass (\S+)/m.exec(lines.join('\n'))?.[1]
  await eventually(async () => {
    for (const { port } of sentinels)
      expect(await redisSays(port, 'SENTINEL MASTER main', theirs)).toMatch(
        /num-slaves\r\n\$1\r\n1\r\n[^]*num-other-sentinels\r\n\$1\r\n2\r\n/,
      )
  }, SETTLED)
  return {
    primary,
    replica,
    sentinels,
    nodes: sentinels.map(addressOf),
    async stop() {
      await Promise.all([primary, replica, ...sentinels].map((server) => server.stop()))
    },
  }
}

export interface ClusterShard {
  readonly primary: RedisServer
  readonly replica: RedisServer
  /** The first and the last of its slots. */
  readonly slots: readonly [number, number]
}

export interface RedisCluster {
  readonly shards: readonly ClusterShard[]
  /** The shard that has the key. */
  shardOf(key: string): Promise<ClusterShard>
  stop(): Promise<void>
}

/** Three primaries and three replicas; a shard that is down costs its own keys only. */
export async function startCluster(): Promise<RedisCluster> {
  const args = [
    ...['--cluster-node-timeout', '1000', '--cluster-require-full-coverage', 'no'],
    ...['--repl-diskless-sync-delay', '0'],
  ]
  const nodes = await Promise.all(Array.from({ length: 6 }, () => startRedis({ cluster: 'empty', args })))
  const ranges = [
    [0, 5460],
    [5461, 10_922],
    [10_923, 16_383],
  ] as const
  const shards = ranges.map((slots, i) => ({
    primary: nodes[i] as RedisServer,
    replica: nodes[i + 3] as RedisServer,
    slots,
  }))
  const [first] = shards as [ClusterShard]
  for (const [i, { primary, slots }] of shards.entries()) {
    await redisSays(primary.port, `CLUSTER ADDSLOTSRANGE ${slots.join(' ')}`)
    // Equal epochs would have to be settled first.
    await redisSays(primary.port, `CLUSTER SET-CONFIG-EPOCH ${i + 1}`)
  }
  for (const { port, busPort } of nodes.slice(1))
    await redisSays(first.primary.port, `CLUSTER MEET 127.0.0.1 ${port} ${busPort}`)
  for (const { primary, replica } of shards) {
    const id = /\r\n(\w{40})/.exec(await redisSays(primary.port, 'CLUSTER MYID'))?.[1]
    await eventually(
      async () => expect(await redisSays(replica.port, `CLUSTER REPLICATE ${id}`)).toMatch(/OK/),
      SETTLED,
    )
  }
  await eventually(async () => {
    for (const { port } of nodes)
      expect(await redisSays(port, 'CLUSTER INFO')).toMatch(
        /cluster_state:ok[^]*cluster_known_nodes:6[^]*cluster_size:3/,
      )
    for (const { replica } of shards)
      expect(await redisSays(replica.port, 'INFO replication')).toMatch(/master_link_status:up/)
    // All know who follows whom.
    for (const { port } of nodes)
      expect((await redisSays(port, 'CLUSTER NODES')).match(/ (?:myself,)?slave /g)).toHaveLength(3)
  }, SETTLED)
  return {
    shards,
    async shardOf(key) {
      const slot = Number((await redisSays(first.primary.port, `CLUSTER KEYSLOT ${key}`)).slice(1))
      return shards.find(({ slots: [from, to] }) => slot >= from && slot <= to) as ClusterShard
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()))
    },
  }
}

/** Kills a primary whose replica lacks what `write` has written last. */
export async function killBehind(
  { primary, replica }: Pick<ClusterShard, 'primary' | 'replica'> | SentinelGroup,
  write: () => Promise<unknown>,
): Promise<void> {
  replica.freeze()
  await redisSays(primary.port, 'CLIENT KILL TYPE replica')
  await write()
  await primary.stop()
  replica.thaw()
}
