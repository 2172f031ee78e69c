/** Opens the client of a Redis tier, and further connections beside it, from the tier's settings. */
import type { HostPort, SocketAddress } from '../../../core/addresses.ts'
import { parseRedisUrl, type RedisTarget, type RedisTopology } from '../../../core/redis-url.ts'
import type { ClientTls } from '../../../lib/tls/material.ts'
import type { ReconnectingConnection } from './reconnecting-connection.ts'
import { type RedisClient, singleClient } from './redis-client.ts'
import { ClusterClient } from './redis-cluster.ts'
import type { SendCommands } from './redis-connection.ts'
import { lifeChecks } from './redis-life.ts'
import { type ConnectionCheck, openNode } from './redis-node.ts'
import { PrimaryClient, PrimaryConnection } from './redis-primary.ts'
import { SentinelWatch } from './redis-sentinel.ts'
import { trialOf } from './redis-trial.ts'
import { DEFAULT_CONNECT_TIMEOUT, DEFAULT_PREFIX, hostPortOf, type RemoteOptions } from './remote.ts'

export interface SentinelSettings {
  /** `host:port` of each Sentinel. */
  readonly nodes: readonly string[]
  /** The credentials of the Sentinels, which are not those of Redis. */
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Default: as the URL. */
  readonly tls?: boolean | undefined
}

export interface RedisOptions extends RemoteOptions {
  /**
   * `redis://[user:password@]host:port[/db]`, `rediss://` for TLS, or `unix:///path[?db=N]`. With `sentinel` the host is the
   * primary's name, and there is no port.
   */
  readonly url: string
  /** The URL names one node of a cluster: keys are fetched one by one, pipelined by node. */
  readonly cluster?: boolean
  /** For `rediss://`; called for every connection. */
  readonly tls?: () => ClientTls | undefined
  readonly sentinel?: SentinelSettings | undefined
}

/** A connection for a purpose of its own. */
export interface FurtherConnection {
  readonly refusal: string | undefined
  close(): void
}

interface Purpose {
  /** The longest value that is expected. */
  readonly maxBytes: number
  readonly trial: readonly ConnectionCheck[]
  /** For a connection that subscribes: called for each message. */
  readonly onMessage?: () => void
}

export interface OpenedRedis {
  readonly client: RedisClient
  /** Opens one more connection: to the server, the present primary, or any node of a cluster. */
  connect(purpose: Purpose): FurtherConnection
}

type Open = (address: () => SocketAddress, purpose: Purpose) => ReconnectingConnection<SendCommands>

/** @throws Error with the fix where the URL is invalid. */
export function openRedis(options: RedisOptions, maxBytes: number): OpenedRedis {
  const {
    name,
    url,
    sentinel,
    connectTimeout = DEFAULT_CONNECT_TIMEOUT,
    prefix = DEFAULT_PREFIX,
    tls,
  } = options
  const topology = topologyOf(options)
  const read = parseRedisUrl(url, topology)
  if ('problem' in read) throw new Error(`${name}: ${read.problem}`)
  const { target } = read
  const open: Open = (address, purpose) =>
    openNode({ target, tls, cluster: topology === 'cluster', connectTimeout, address, ...purpose })
  const purpose = { maxBytes, trial: trialOf(prefix, topology) }
  const { address } = target
  if (sentinel) return behindSentinels({ name, target, tls, sentinel, connectTimeout, open, purpose })
  if (topology === 'cluster') return overCluster(address as HostPort, { connectTimeout, open, purpose })
  const client = singleClient(open(() => address, purpose))
  return { client, connect: (further) => open(() => address, further) }
}

/** @throws Error where both are set. */
function topologyOf({ name, cluster = false, sentinel }: RedisOptions): RedisTopology {
  if (cluster && sentinel) throw new Error(`${name}: "cluster" and "sentinel" exclude each other`)
  if (sentinel) return 'sentinel'
  return cluster ? 'cluster' : 'single'
}

interface Opening {
  readonly connectTimeout: number
  readonly open: Open
  /** What the connections of the client are for. */
  readonly purpose: Purpose
}

function overCluster(seed: HostPort, { connectTimeout, open, purpose }: Opening): OpenedRedis {
  const client = new ClusterClient({
    seed,
    connectTimeout,
    open: (address, onLife) =>
      open(() => address, { ...purpose, trial: [...purpose.trial, ...lifeChecks(onLife)] }),
  })
  return { client, connect: (further) => open(() => client.any, further) }
}

interface Behind {
  readonly name: string
  readonly target: RedisTarget
  readonly tls: RedisOptions['tls']
  readonly sentinel: SentinelSettings
}

function behindSentinels({
  name,
  target,
  tls,
  sentinel,
  connectTimeout,
  open,
  purpose,
}: Opening & Behind): OpenedRedis {
  const { nodes, username = '', password = '', tls: isSecure = target.isSecure } = sentinel
  const asked: RedisTarget = { ...target, user: username, password, isSecure, database: 0 }
  const { host } = target.address as HostPort
  const watch = new SentinelWatch({
    name: host,
    nodes: nodes.map((node) => hostPortOf(name, node)),
    timeoutMs: connectTimeout,
    open: (address, trial, onMessage) =>
      openNode({
        target: { ...asked, address },
        tls,
        cluster: false,
        connectTimeout,
        address: () => address,
        maxBytes: 0,
        trial,
        ...(onMessage ? { onMessage } : {}),
      }),
  })
  return {
    client: new PrimaryClient(watch, (address) => open(() => address, purpose)),
    connect: (further) => new PrimaryConnection(watch, (address) => open(() => address, further)),
  }
}
