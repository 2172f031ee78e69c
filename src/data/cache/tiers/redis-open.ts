/** Opens the client of a Redis tier from its settings. */
import type { HostPort } from '../../../core/addresses.ts'
import { parseRedisUrl, type RedisTarget } from '../../../core/redis-url.ts'
import type { ClientTls } from '../../../lib/tls/material.ts'
import { type RedisClient, singleClient } from './redis-client.ts'
import { ClusterClient } from './redis-cluster.ts'
import { type ConnectionCheck, openNode } from './redis-node.ts'
import type { RedisReply } from './redis-reply.ts'
import { DEFAULT_CONNECT_TIMEOUT, DEFAULT_PREFIX, type RemoteOptions } from './remote.ts'

export interface RedisOptions extends RemoteOptions {
  /** `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS. */
  readonly url: string
  /** The URL names one node of a cluster: keys are fetched one by one, pipelined by node. */
  readonly cluster?: boolean
  /** For `rediss://`; called for every connection. */
  readonly tls?: () => ClientTls | undefined
}

export interface OpenedRedis {
  readonly client: RedisClient
  readonly target: RedisTarget
  /** The address of a node for requests that any node can answer. */
  readonly any: () => HostPort
}

/** @throws Error with the fix where the URL is invalid. */
export function openRedis(options: RedisOptions, maxBytes: number): OpenedRedis {
  const {
    name,
    url,
    cluster = false,
    connectTimeout = DEFAULT_CONNECT_TIMEOUT,
    prefix = DEFAULT_PREFIX,
    tls,
  } = options
  const read = parseRedisUrl(url, cluster)
  if ('problem' in read) throw new Error(`${name}: ${read.problem}`)
  const { target } = read
  const common = { target, tls, cluster, connectTimeout, maxBytes, trial: trialOf(prefix, cluster) }
  const open = (address: HostPort) => openNode({ ...common, address: () => address })
  if (!cluster) return { client: singleClient(open(target.address)), target, any: () => target.address }
  const client = new ClusterClient({ seed: target.address, open, connectTimeout })
  return { client, target, any: () => client.any }
}

/** One command of each kind that a tier needs, on keys that do not exist: a missing permission shows at the start. */
function trialOf(prefix: string, cluster: boolean): readonly ConnectionCheck[] {
  const key = `${prefix}{trial}`
  // Without a cluster the two keys are of two slots, so that a node of a cluster reveals itself; in a cluster, of one slot.
  const other = cluster ? `${key}:2` : `${prefix}{trial2}`
  const trial: ConnectionCheck[] = [
    { args: ['MGET', key, other], fits: isPair },
    { args: ['GET', key] },
    // XX: only where the key exists, which it does not.
    { args: ['SET', key, '', 'XX', 'PX', '1'] },
    { args: ['DEL', key] },
    { args: ['EVAL', 'return 0', '1', key] },
    { args: ['EVALSHA', '0'.repeat(40), '1', key] },
    // A gateway that receives it polls the facts once more, and finds no change.
    { args: ['PUBLISH', `${prefix}hints`, 'trial'] },
  ]
  if (cluster) trial.push({ args: ['CLUSTER', 'SLOTS'], fits: Array.isArray })
  return trial
}

function isPair(reply: RedisReply): boolean {
  return Array.isArray(reply) && reply.length === 2
}
