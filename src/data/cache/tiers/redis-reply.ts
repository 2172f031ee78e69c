/** Commands for a Redis server and its replies as values, errors among them. */

/** A bulk or simple string, an integer, nil, an error, or an array. */
export type RedisReply = Buffer | number | null | RespError | readonly RedisReply[]

export type Args = readonly [name: string, ...(string | Uint8Array)[]]

export interface EncodedCommand {
  readonly args: Args
  /** The command as Redis reads it, where we can encode it at less cost than ioredis. */
  readonly bytes?: Buffer
}

/** The server's error reply to one command, as a value. */
export class RespError {
  readonly message: string

  constructor(message: string) {
    this.message = message
  }

  /** The first word, which names the kind: WRONGTYPE, OOM, MOVED. */
  get code(): string {
    return /^[A-Z]+/.exec(this.message)?.[0] ?? ''
  }
}

/** Whether the reply is the simple string OK. */
export function isOk(reply: RedisReply): boolean {
  return Buffer.isBuffer(reply) && reply.toString('latin1') === 'OK'
}
