/** The client interface of the Redis tier: commands and replies, for one server or a cluster. */
import type { ReconnectingConnection } from './reconnecting-connection.ts'
import type { SendCommands } from './redis-connection.ts'
import { isIdle } from './redis-refusal.ts'
import { type EncodedCommand, type RedisReply, RespError } from './redis-reply.ts'

export interface RedisCommand extends EncodedCommand {
  /** The key that decides which node of a cluster gets the command. */
  readonly key: string
}

export interface RedisOperation {
  readonly what: string
  readonly ms: number
  /** Bytes that wait in the socket until the server takes them. */
  readonly bytes?: number
  readonly commands: readonly RedisCommand[]
}

export interface RedisClient {
  readonly connected: boolean
  /** When the youngest of its connections was made, in monotonic milliseconds. */
  readonly since: number
  /** A server has answered, and its greeting is still under way. */
  readonly isDeciding: boolean
  /** Why it is not connected. */
  readonly trouble: string
  /** Why the server refuses us; undefined while it does not. */
  readonly refusal: string | undefined
  /** See `Tier.missing`. */
  readonly missing?: string | undefined
  /** Whether the server that has the key is connected. */
  reaches(key: string): boolean
  /**
   * What the name of a value has before its hash tag, so that a node of a cluster which may have lost writes has none of
   * its earlier values. `key`: the name without it. Empty for one server, whose shared facts do that.
   */
  keyspaceOf(key: string): string
  /** The replies in the commands' order, errors among them. Rejects where there is none. */
  run(operation: RedisOperation): Promise<readonly RedisReply[]>
  close(): void
}

/** Drops or renews the connection where a reply calls for it. */
export function onReply(link: ReconnectingConnection<SendCommands>, reply: RedisReply): void {
  if (!(reply instanceof RespError)) return
  if (isIdle(reply)) link.drop(`it cannot serve now (${reply.code})`)
  // After a failover the name may resolve to the new primary already; this connection stays with the old one.
  else if (reply.code === 'READONLY') link.renew()
}

/** A client of one server. */
export function singleClient(link: ReconnectingConnection<SendCommands>): RedisClient {
  return {
    get connected() {
      return link.isUp
    },
    get since() {
      return link.since
    },
    get isDeciding() {
      return link.isDeciding
    },
    get trouble() {
      return link.trouble
    },
    get refusal() {
      return link.refusal
    },
    reaches: () => link.isUp,
    keyspaceOf: () => '',
    async run({ commands, ...operation }) {
      const replies = await link.run({
        ...operation,
        start: (send) => send(commands),
      })
      for (const reply of replies) onReply(link, reply)
      return replies
    },
    close: () => link.close(),
  }
}
