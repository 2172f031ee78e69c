/**
 * The first commands on every connection of a Redis tier: each command that the tier will ever send, on keys that nobody
 * has, so that a missing permission shows at the start and names the command.
 */
import type { RedisTopology } from '../../../core/redis-url.ts'
import type { ConnectionCheck } from './redis-node.ts'
import { type RedisReply, RespError } from './redis-reply.ts'

/** Commands that scripts call: those of leases and facts, and those by which gateways share their backends. */
const IN_SCRIPTS = [
  ['SET', 'PX', '1'],
  ['GET'],
  ['PEXPIRE', '1'],
  ['DEL'],
  ['INCR'],
  ['DEL'],
  ['HSET', 'f', 'v'],
  ['HGET', 'f'],
  ['HMGET', 'f'],
  ['HGETALL'],
  ['HVALS'],
  ['HDEL', 'f'],
  ['ZADD', '1', 'm'],
  ['ZSCORE', 'm'],
  ['ZRANGE', '0', '-1'],
  ['ZRANGEBYSCORE', '0', '0'],
  ['ZREMRANGEBYSCORE', '0', '0'],
  ['ZREM', 'm'],
  ['DEL'],
  ['TIME'],
] as const

/** How the error of a call in a script says that the user may not: in Redis, in later ones, and in Valkey. */
const MAY_NOT = ['run this command', '^NOPERM', 'no permissions to run']

// KEYS: a key that nobody has, and that nobody has afterwards. Only a missing permission is an error.
const TRIAL = `
local function try(...)
  local reply = redis.pcall(...)
  local message = type(reply) == 'table' and reply.err or ''
  if ${MAY_NOT.map((words) => `string.find(message, '${words}')`).join(' or ')} then
    return redis.error_reply("NOPERM this user has no permissions to run the '" .. string.lower((...)) .. "' command")
  end
end
return ${IN_SCRIPTS.map((command) => `try(${luaOf(command)})`).join('\n  or ')} or 0`

function luaOf([name, ...args]: readonly string[]): string {
  if (name === 'TIME') return "'TIME'"
  // The value of SET stands between the key and its options.
  const value = name === 'SET' ? ["''"] : []
  return [`'${name}'`, 'KEYS[1]', ...value, ...args.map((arg) => `'${arg}'`)].join(', ')
}

export function trialOf(prefix: string, topology: RedisTopology): readonly ConnectionCheck[] {
  const isCluster = topology === 'cluster'
  const key = `${prefix}{trial}`
  // Without a cluster the two keys are of two slots, so that a node of a cluster reveals itself; in a cluster, of one slot.
  const other = isCluster ? `${key}:2` : `${prefix}{trial2}`
  const trial: ConnectionCheck[] = [
    { args: ['MGET', key, other], fits: isPair },
    { args: ['GET', key] },
    // XX: only where the key exists, which it does not.
    {
      args: ['SET', key, '', 'XX', 'PX', '1'],
      ...(topology === 'sentinel' ? { rejects: replicaError } : {}),
    },
    { args: ['DEL', key] },
    { args: ['EVAL', TRIAL, '1', `${key}:script`] },
    { args: ['EVALSHA', '0'.repeat(40), '1', key] },
    // A gateway that receives it polls the facts once more, and finds no change.
    { args: ['PUBLISH', `${prefix}hints`, 'trial'] },
  ]
  // The script of the facts asks for it; where it may not, it cannot know of a failover.
  if (topology === 'sentinel') trial.push({ args: ['INFO', 'replication'] })
  if (isCluster)
    trial.push(
      { args: ['CLUSTER', 'SLOTS'], fits: Array.isArray },
      { args: ['CLUSTER', 'INFO'] },
      { args: ['ASKING'] },
    )
  return trial
}

/** A replica is not used where Sentinels say which server is the primary: they are about to name another. */
function replicaError(reply: RedisReply): Error | undefined {
  return reply instanceof RespError && reply.code === 'READONLY'
    ? new Error('it is a replica, and the Sentinels have not named another primary yet')
    : undefined
}

function isPair(reply: RedisReply): boolean {
  return Array.isArray(reply) && reply.length === 2
}
