/**
 * A connection to whichever server is the primary, and the client over it. When the Sentinels name another server, the old
 * connection ends at once, whether it works or not: a primary that was replaced may go on answering, with what is no
 * longer so.
 */
import type { HostPort } from '../../../core/addresses.ts'
import type { ReconnectingConnection } from './reconnecting-connection.ts'
import { onReply, type RedisClient, type RedisOperation } from './redis-client.ts'
import type { SendCommands } from './redis-connection.ts'
import { type RedisReply, RespError } from './redis-reply.ts'
import type { PrimarySource } from './redis-sentinel.ts'
import { Away } from './tier.ts'

export class PrimaryConnection {
  readonly #source: PrimarySource
  readonly #open: (address: HostPort) => ReconnectingConnection<SendCommands>
  readonly #unfollow: () => void
  #link: ReconnectingConnection<SendCommands> | undefined

  constructor(source: PrimarySource, open: (address: HostPort) => ReconnectingConnection<SendCommands>) {
    this.#source = source
    this.#open = open
    this.#unfollow = source.follow(() => this.#move())
    this.#move()
  }

  /** Undefined: the primary is not known yet. */
  get link(): ReconnectingConnection<SendCommands> | undefined {
    return this.#link
  }

  get refusal(): string | undefined {
    return this.#link?.refusal
  }

  close(): void {
    this.#unfollow()
    this.#link?.close()
  }

  #move(): void {
    const { primary } = this.#source
    this.#link?.close(new Away('another server is the primary now'))
    this.#link = primary && this.#open(primary)
  }
}

/** The client of a tier whose primary is found by Sentinels. */
export class PrimaryClient implements RedisClient {
  readonly #source: PrimarySource
  readonly #connection: PrimaryConnection

  constructor(source: PrimarySource, open: (address: HostPort) => ReconnectingConnection<SendCommands>) {
    this.#source = source
    this.#connection = new PrimaryConnection(source, open)
  }

  get connected(): boolean {
    return this.#connection.link?.isUp ?? false
  }

  get since(): number {
    return this.#connection.link?.since ?? Number.NEGATIVE_INFINITY
  }

  get isDeciding(): boolean {
    return this.#connection.link?.isDeciding ?? this.#source.isDeciding
  }

  get trouble(): string {
    return this.#connection.link?.trouble ?? this.#source.trouble
  }

  get refusal(): string | undefined {
    return this.#connection.refusal ?? this.#source.refusal
  }

  reaches(): boolean {
    return this.connected
  }

  keyspaceOf(): string {
    return ''
  }

  async run({ commands, ...operation }: RedisOperation): Promise<readonly RedisReply[]> {
    const { link } = this.#connection
    if (!link) throw new Away(`not connected: ${this.trouble}`)
    const replies = await link.run({ ...operation, start: (send) => send(commands) })
    for (const reply of replies) {
      onReply(link, reply)
      if (reply instanceof RespError && reply.code === 'READONLY') this.#source.doubt()
    }
    return replies
  }

  close(): void {
    this.#connection.close()
    this.#source.close()
  }
}
