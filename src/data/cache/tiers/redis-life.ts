/**
 * The life of a Redis server: its process (`run_id`), and the last time that it took over from another (`master_replid2` and
 * its offset). A server in another life may lack the last writes of the one before: it was started from a snapshot, or
 * was a replica that had not heard of them.
 */
import { createHash } from 'node:crypto'
import type { ConnectionCheck } from './redis-node.ts'
import type { RedisReply } from './redis-reply.ts'

const LENGTH = 11

/** Reads the life in the greeting of a connection, and passes on a short name of it. */
export function lifeChecks(onLife: (life: string) => void): readonly ConnectionCheck[] {
  let process = ''
  return [
    {
      args: ['INFO', 'server'],
      fits: (reply) => {
        process = fieldOf(reply, 'run_id')
        return true
      },
    },
    {
      args: ['INFO', 'replication'],
      fits: (reply) => {
        const life = [process, fieldOf(reply, 'master_replid2'), fieldOf(reply, 'second_repl_offset')].join()
        onLife(createHash('sha256').update(life).digest('base64url').slice(0, LENGTH))
        return true
      },
    },
  ]
}

/** The empty string where the server does not say it. */
function fieldOf(reply: RedisReply, field: string): string {
  const text = Buffer.isBuffer(reply) ? reply.toString('latin1') : ''
  return new RegExp(`^${field}:(\\S*)`, 'm').exec(text)?.[1] ?? ''
}
