/**
 * One connection to a Redis server, by ioredis, over a socket of ours: guarded, with the TLS of the settings, and without
 * the client's reconnecting. ioredis puts the command into its errors, with a password or a cached answer in it, so none
 * of those errors leaves this file.
 */

import net from 'node:net'
import tls from 'node:tls'
import { AbstractConnector, Command, Redis, ReplyError } from 'ioredis'
import type { SocketAddress } from '../../../core/addresses.ts'
import type { ClientConnection, Events } from './reconnecting-connection.ts'
import { type EncodedCommand, type RedisReply, RespError } from './redis-reply.ts'
import { type RespBounds, RespJudge } from './resp-judge.ts'
import { guardSocket } from './socket-guard.ts'

/** Sends all commands in one write; the replies, errors among them, are in their order. Rejects where one has no reply. */
export type SendCommands = (commands: readonly EncodedCommand[]) => Promise<readonly RedisReply[]>

export interface RedisConnectionOptions extends RespBounds {
  /** Undefined: plain TCP. */
  readonly tls?: tls.ConnectionOptions | undefined
  /** For a connection that subscribes: called for each message. */
  readonly onMessage?: (() => void) | undefined
}

const KEEP_ALIVE_MS = 30_000

export function connectRedis(
  address: SocketAddress,
  options: RedisConnectionOptions,
  events: Events,
): ClientConnection<SendCommands> {
  const socket = options.tls ? tls.connect({ ...options.tls, ...address }) : net.connect(address)
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEP_ALIVE_MS)
  guardSocket(socket, new RespJudge(options))
  let ended: Error | undefined
  const over = (error: Error) => {
    ended ??= error
    events.over(ended)
    socket.destroy()
  }
  socket.on('error', over)
  socket.on('close', () => over(new Error('it closed the connection')))
  socket.once('connect', () => events.met())
  const client = clientOver(socket)
  client.on('error', () => over(new Error('it does not answer as a Redis does')))
  if (options.onMessage) client.on('message', options.onMessage)
  const failed = (error: unknown): RespError => {
    if (error instanceof Error && error instanceof ReplyError) return new RespError(error.message)
    // oxlint-disable-next-line preserve-caught-error -- it may hold the command
    throw ended ?? new Error('it could not be asked')
  }
  const one = (command: EncodedCommand) =>
    (client.sendCommand(commandOf(command)) as Promise<RedisReply>).catch(failed)
  return {
    client(commands) {
      // ioredis writes each command by itself.
      if (commands.length > 1) socket.cork()
      const replies = commands.map(one)
      if (commands.length > 1) socket.uncork()
      return Promise.all(replies)
    },
    opened: new Promise((resolve) => {
      // Before the socket is connected ioredis has nothing to do.
      socket.once(options.tls ? 'secureConnect' : 'connect', () => {
        client.connect().then(resolve, () => {})
      })
    }),
    end: over,
  }
}

function clientOver(socket: net.Socket): Redis {
  return new Redis({
    Connector: class extends AbstractConnector {
      constructor() {
        super(0)
      }
      override connect(): Promise<net.Socket> {
        this.stream = socket
        return Promise.resolve(socket)
      }
    },
    lazyConnect: true,
    retryStrategy: () => null,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // No INFO on connect: we greet the server ourselves.
    enableReadyCheck: false,
    disableClientInfo: true,
  })
}

/** The key's slot, of a cluster's 16,384. */
export function slotOf(key: string): number {
  return new Command('get', [key]).getSlot()
}

function commandOf({ args: [name, ...args], bytes }: EncodedCommand): Command {
  if (bytes) return new Written(name, bytes)
  return new Command(
    // In lower case, or ioredis does not recognise SUBSCRIBE and its like.
    name.toLowerCase(),
    args.map((arg) =>
      typeof arg === 'string' || Buffer.isBuffer(arg)
        ? arg
        : Buffer.from(arg.buffer, arg.byteOffset, arg.length),
    ),
  )
}

/** A command that is already encoded. */
class Written extends Command {
  readonly #bytes: Buffer

  constructor(name: string, bytes: Buffer) {
    super(name)
    this.#bytes = bytes
  }

  override toWritable(): Buffer {
    return this.#bytes
  }
}
