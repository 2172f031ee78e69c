/** What a Redis is asked, and what it answers: as values of ours, errors among them. */

/** A text, a bulk string, an integer, an array, nothing, or an error. */
export type RedisReply = Buffer | number | null | RespError | readonly RedisReply[]

export type Args = readonly [name: string, ...(string | Uint8Array)[]]

export interface EncodedCommand {
  readonly args: Args
  /** The same as Redis reads it, where that is cheaper to make than to have it made. */
  readonly bytes?: Buffer
}

/** The server's refusal of one command, as a value. */
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

/** Whether it is the simple string OK. */
export function isOk(reply: RedisReply): boolean {
  return Buffer.isBuffer(reply) && reply.toString('latin1') === 'OK'
}
