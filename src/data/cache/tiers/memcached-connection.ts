/**
 * One connection to a Memcached server, by memjs. memjs is never let to reconnect: it would keep half-read bytes, and waits
 * for ever for an answer when a server closes in order. So each connection has a client of its own, thrown away with it.
 */

import type { Socket } from 'node:net'
import { Client, Server } from 'memjs'
import type { SocketAddress } from '../../../core/addresses.ts'
import { MemcachedJudge } from './memcached-judge.ts'
import { type ClientConnection, ConnectionRefused, type Events } from './reconnecting-connection.ts'

/** Each operation rejects with the server's own message. */
export interface MemcachedClient {
  get(key: string): Promise<Buffer | undefined>
  set(key: string, value: Buffer, expires: number): Promise<boolean>
  /** False: the key has a value already. */
  add(key: string, value: Buffer): Promise<boolean>
  delete(key: string): Promise<boolean>
  settings(): Promise<Readonly<Record<string, string>>>
}

export interface MemcachedConnectionOptions {
  readonly connectTimeout: number
  /** The longest value that the tier takes. */
  readonly maxBytes: number
  /** For SASL (PLAIN); left out: none. */
  readonly username?: string | undefined
  readonly password?: string | undefined
}

const SILENT = { log() {} }
/** memjs numbers its requests, and fails at the number after this many. */
const MAX_SEQUENCE = 0x7fff_ffff
const KEEP_ALIVE_SECONDS = 30
/** memjs's own timeout is only a last resort: ours is shorter, and set for each operation. */
const LAST_RESORT_SECONDS = 60

export function connectMemcached(
  address: SocketAddress,
  { connectTimeout, maxBytes, username = '', password = '' }: MemcachedConnectionOptions,
  events: Events,
): ClientConnection<MemcachedClient> {
  // memjs passes both on to `net.connect`, which takes a path in place of a port.
  const [host, port] = 'path' in address ? [undefined, address.path] : [address.host, address.port]
  const server = new GuardedServer(host as string, port as number, undefined, undefined, {
    timeout: LAST_RESORT_SECONDS,
    conntimeout: (2 * connectTimeout) / 1_000,
    keepAlive: true,
    keepAliveDelay: KEEP_ALIVE_SECONDS,
  })
  // Not as options: memjs would take the environment's MEMCACHE_USERNAME where they are empty.
  Object.assign(server, { username, password })
  server.guard(new MemcachedJudge(maxBytes), events)
  // One "retry" means none: memjs counts the first attempt.
  const client: Numbered = new Client([server], { retries: 1, logger: SILENT })
  const next = () => {
    if (client.seq >= MAX_SEQUENCE) client.seq = 0
    return client
  }
  return {
    client: {
      get: async (key) => (await next().get(key)).value ?? undefined,
      set: (key, value, expires) => next().set(key, value, { expires }),
      add: (key, value) => next().add(key, value, {}),
      delete: (key) => next().delete(key),
      settings: () =>
        new Promise((resolve, reject) => {
          client.statsWithKey('settings', (error, _, stats) =>
            error || !stats ? reject(error ?? new Error('no facts')) : resolve(stats),
          )
        }),
    },
    opened: server.open(),
    end: (error) => server.error(error),
  }
}

type Numbered = Omit<Client, 'seq'> & { seq: number }

class GuardedServer extends Server {
  #judge!: MemcachedJudge
  #events!: Events
  #open: Socket | undefined
  #isCorked = false

  guard(judge: MemcachedJudge, events: Events): void {
    this.#judge = judge
    this.#events = events
  }

  /** Resolves when the server can be asked. */
  open(): Promise<void> {
    return new Promise((resolve) => {
      this.sock(false, (socket) => {
        this.#open = socket
        resolve()
      })
      const { _socket: socket } = this as unknown as { readonly _socket: Socket }
      socket.setNoDelay(true)
      socket.once('connect', () => this.#events.met())
      socket.once('close', () => this.error(new Error('it closed the connection')))
    })
  }

  /** An error in what the server sent ends the connection. */
  override responseHandler(chunk: Buffer): void {
    try {
      const answers = this.#judge.read(chunk)
      if (answers.length > 0) super.responseHandler(answers)
    } catch (error) {
      this.error(error instanceof Error ? error : new Error(String(error)))
    }
  }

  override write(request: Buffer): void {
    this.#judge.requested(request)
    this.#cork()
    super.write(request)
  }

  override writeSASL(request: Buffer): void {
    this.#judge.requested(request)
    super.writeSASL(request)
  }

  get #refusal(): string {
    const { username } = this as unknown as { readonly username: string }
    return username === ''
      ? 'it wants a user and a password (SASL); write username and password'
      : 'the user name or the password is wrong (SASL)'
  }

  /** memjs writes each request by itself; corking sends the requests of one turn in one write. */
  #cork(): void {
    if (this.#isCorked || !this.#open) return
    this.#isCorked = true
    this.#open.cork()
    process.nextTick(() => {
      this.#isCorked = false
      this.#open?.uncork()
    })
  }

  /** Destroys the socket, and rejects all outstanding requests. memjs says with a text that the server wants another user. */
  override error(reason: Error | string): void {
    const error = reason instanceof Error ? reason : new ConnectionRefused(this.#refusal)
    super.error(error)
    this.#events.over(error)
  }
}
