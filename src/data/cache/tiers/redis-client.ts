/** What the tier asks of Redis: commands and their answers, whether one server answers or a cluster does. */
import type { ReconnectingConnection } from './reconnecting-connection.ts'
import type { SendCommands } from './redis-connection.ts'
import { isIdle } from './redis-refusal.ts'
import { type EncodedCommand, type RedisReply, RespError } from './redis-reply.ts'

export interface RedisCommand extends EncodedCommand {
  /** The key that decides which node of a cluster is asked. */
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
  /** Somebody is there, and whether it will have us is being found out. */
  readonly isDeciding: boolean
  /** Why it is not connected. */
  readonly trouble: string
  /** Why it will not have us; undefined while it may. */
  readonly refusal: string | undefined
  /** Whether the server that has the key is there. */
  reaches(key: string): boolean
  /** The answers in the commands' order, errors among them. Rejects where none could be had. */
  run(operation: RedisOperation): Promise<readonly RedisReply[]>
  close(): void
}

/** What to do about an answer, besides giving it to whoever asked. */
export function heed(link: ReconnectingConnection<SendCommands>, reply: RedisReply): void {
  if (!(reply instanceof RespError)) return
  if (isIdle(reply)) link.drop(`it cannot serve now (${reply.code})`)
  // After a failover the name may lead to the new primary already; this connection never will.
  else if (reply.code === 'READONLY') link.renew()
}

/** One server. */
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
    async run({ commands, ...operation }) {
      const replies = await link.run({
        ...operation,
        start: (ask) => ask(commands),
      })
      for (const reply of replies) heed(link, reply)
      return replies
    },
    close: () => link.close(),
  }
}
