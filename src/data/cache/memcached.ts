/**
 * Memcached as a shared tier, over one or more servers; a key always goes to the same one.
 *
 * memjs keeps half-read bytes across a reconnection, waits for ever for an answer when a server leaves
 * politely, and counts its requests in 31 bits. So it is never let to reconnect: each connection is a memjs
 * client of its own, thrown away with the connection (see Link).
 */
import { hash } from 'node:crypto'
import type { Socket } from 'node:net'
import { Client, Server } from 'memjs'
import type { Digest } from '../../core/key.ts'
import {
  base64url,
  DEFAULT_CONNECT_TIMEOUT,
  DEFAULT_PREFIX,
  DEFAULT_READ_TIMEOUT,
  DEFAULT_WRITE_TIMEOUT,
  factKey,
  Outstanding,
  type RemoteOptions,
  retryDelay,
  within,
} from './remote.ts'
import type { Tier } from './tier.ts'

export interface MemcachedOptions extends RemoteOptions {
  /** `host:port`, or `[v6]:port`; the port is 11211 where it is left out. */
  readonly servers: readonly string[]
}

/** A server's own bound is 1 MiB with its header and the key. */
const DEFAULT_MAX_ENTRY_BYTES = 1_000_000
/** Memcached reads a longer one as a point in time. */
const MAX_TTL_SECONDS = 30 * 24 * 3_600 - 1
const MAX_SEQUENCE = 0x7fff0000

/** Opens the tier and begins to connect; throws where a server's address is none. */
export function createMemcachedTier(options: MemcachedOptions): Tier {
  return new MemcachedTier(options)
}

class MemcachedTier implements Tier {
  readonly name: string
  readonly #options: Required<MemcachedOptions>
  readonly #links: readonly Link[]

  constructor(options: MemcachedOptions) {
    this.name = options.name
    this.#options = {
      readTimeout: DEFAULT_READ_TIMEOUT,
      writeTimeout: DEFAULT_WRITE_TIMEOUT,
      connectTimeout: DEFAULT_CONNECT_TIMEOUT,
      maxEntryBytes: DEFAULT_MAX_ENTRY_BYTES,
      prefix: DEFAULT_PREFIX,
      ...options,
    }
    if (options.servers.length === 0) throw new Error(`${this.name}: servers is empty; give host:port`)
    const addresses = options.servers.map((server) => addressOf(this.name, server))
    this.#links = addresses.map((address) => new Link(this.name, address, this.#options))
  }

  get connected(): boolean {
    return this.#links.some((link) => link.isUp)
  }

  getMany(digests: readonly Digest[]): Promise<(Uint8Array | undefined)[]> {
    return this.#fetch(digests)
  }

  async set(digest: Digest, value: Uint8Array, ttlMs: number): Promise<void> {
    const { maxEntryBytes } = this.#options
    if (value.length > maxEntryBytes) {
      throw new Error(`${this.name}: ${value.length} bytes are more than maxEntryBytes ${maxEntryBytes}`)
    }
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
    const expires = Math.min(MAX_TTL_SECONDS, Math.max(1, Math.ceil(ttlMs / 1_000)))
    const link = this.#linkOf(digest)
    await this.#write(
      link,
      'set',
      (client) => client.set(this.#key(digest), bytes, { expires }),
      value.length,
    )
  }

  async delete(digest: Digest): Promise<void> {
    await this.#write(this.#linkOf(digest), 'delete', (client) => client.delete(this.#key(digest)))
  }

  async claim(name: string, value: string): Promise<string> {
    const key = factKey(this.#options.prefix, name)
    const link = this.#linkOf(hash('sha256', key, 'latin1'))
    // Between the two steps the server may evict it; then it is ours to claim again.
    for (let attempt = 0; attempt < 3; attempt++) {
      if (await this.#write(link, 'claim', (client) => client.add(key, value, {}))) return value
      const present = await this.#write(link, 'claim', (client) => client.get(key))
      if (present.value !== null) return present.value.toString('utf8')
    }
    throw new Error(`${this.name}: claim: the value comes and goes`)
  }

  facts(names: readonly string[]): Promise<(string | undefined)[]> {
    return Promise.all(
      names.map(async (name) => {
        const key = factKey(this.#options.prefix, name)
        const link = this.#linkOf(hash('sha256', key, 'latin1'))
        const found = await link.run('facts', {
          ms: this.#options.readTimeout,
          start: (client) => client.get(key),
        })
        return found.value?.toString('utf8')
      }),
    )
  }

  async publish(name: string, value: string): Promise<void> {
    const key = factKey(this.#options.prefix, name)
    const link = this.#linkOf(hash('sha256', key, 'latin1'))
    await this.#write(link, 'publish', (client) => client.set(key, value, {}))
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.close()
  }

  /** Each server is asked for its keys; one that does not answer makes its own keys misses, and only all of them a failure. */
  async #fetch(digests: readonly Digest[]): Promise<(Buffer | undefined)[]> {
    const values: (Buffer | undefined)[] = digests.map(() => undefined)
    const shares = new Map<Link, number[]>()
    digests.forEach((digest, i) => {
      const link = this.#linkOf(digest)
      const share = shares.get(link)
      if (share) share.push(i)
      else shares.set(link, [i])
    })
    const outcomes = await Promise.allSettled(
      [...shares].map(([link, places]) => this.#ask(link, places, digests)),
    )
    const answered = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed && outcomes.every((outcome) => outcome.status === 'rejected')) throw failed.reason
    for (const [place, value] of answered) {
      if (value && value.length <= this.#options.maxEntryBytes) values[place] = value
    }
    return values
  }

  async #ask(
    link: Link,
    places: readonly number[],
    digests: readonly Digest[],
  ): Promise<[number, Buffer | null][]> {
    const keys = places.map((place) => this.#key(digests[place] as Digest))
    const start = (client: Client) => Promise.all(keys.map((key) => client.get(key)))
    const found = await link.run('get', { ms: this.#options.readTimeout, start })
    return found.map(({ value }, i) => [places[i] as number, value])
  }

  #key(digest: Digest): string {
    return this.#options.prefix + base64url(digest)
  }

  /** Rendezvous would move fewer keys when a server is added; a list that hardly changes does not need it. */
  #linkOf(digest: string): Link {
    const n = (digest.charCodeAt(28) << 16) | (digest.charCodeAt(29) << 8) | digest.charCodeAt(30)
    return this.#links[n % this.#links.length] as Link
  }

  #write<T>(link: Link, what: string, start: (client: Client) => Promise<T>, bytes = 0): Promise<T> {
    return link.run(what, { ms: this.#options.writeTimeout, bytes, start })
  }
}

interface LinkOperation<T> {
  readonly ms: number
  readonly bytes?: number
  readonly start: (client: Client) => Promise<T>
}

interface Connection {
  readonly client: Client
  readonly server: Server
  readonly outstanding: Outstanding
  socket?: Socket
}

/** One server: connected, or trying to be. */
class Link {
  readonly #name: string
  readonly #address: { readonly host: string; readonly port: number }
  readonly #options: Required<MemcachedOptions>
  #up: Connection | undefined
  #trying: Connection | undefined
  #attempts = 0
  #lastError = 'still connecting'
  #retry: NodeJS.Timeout | undefined
  #closed = false

  constructor(name: string, address: { host: string; port: number }, options: Required<MemcachedOptions>) {
    this.#name = name
    this.#address = address
    this.#options = options
    void this.#connect()
  }

  get isUp(): boolean {
    return this.#up !== undefined
  }

  async run<T>(what: string, { ms, bytes = 0, start }: LinkOperation<T>): Promise<T> {
    const connection = this.#up
    if (this.#closed) throw new Error(`${this.#name}: closed`)
    if (!connection) throw new Error(`${this.#name}: not connected: ${this.#lastError}`)
    if (connection.client.seq > MAX_SEQUENCE) this.#drop(connection, 'its sequence numbers are used up')
    try {
      return await connection.outstanding.run({ what, ms, bytes, start: () => corked(connection, start) })
    } catch (error) {
      throw new Error(`${this.#name}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    for (const connection of [this.#up, this.#trying]) connection?.server.error(new Error('closed'))
    this.#up = undefined
  }

  async #connect(): Promise<void> {
    const { host, port } = this.#address
    const { connectTimeout, prefix } = this.#options
    // memjs's own clock is only a last resort: ours is faster and per operation.
    const times = { timeout: 60, conntimeout: (2 * connectTimeout) / 1_000 }
    const server = new Server(host, port, undefined, undefined, times)
    // One "retry" is none: memjs counts the first attempt.
    const client = new Client([server], { retries: 1, logger: { log() {} } })
    const connection: Connection = {
      client,
      server,
      outstanding: new Outstanding(() => this.#drop(connection, 'it stopped answering')),
    }
    this.#trying = connection
    try {
      server.sock(false, (socket) => {
        connection.socket = socket
        socket.once('close', () => this.#drop(connection, 'it closed the connection'))
      })
      await within(connectTimeout, client.get(`${prefix}ping`), 'connect')
      this.#trying = undefined
      if (this.#closed || !connection.socket || connection.socket.destroyed) throw new Error('closed')
      this.#attempts = 0
      this.#up = connection
    } catch (error) {
      this.#drop(connection, error instanceof Error ? error.message : String(error))
    }
  }

  #drop(connection: Connection, reason: string): void {
    if (connection !== this.#up && connection !== this.#trying) return
    this.#up = undefined
    this.#trying = undefined
    this.#lastError = reason
    // Rejects what is still under way, and destroys the socket.
    connection.server.error(new Error(reason))
    if (this.#closed) return
    this.#retry = setTimeout(() => void this.#connect(), retryDelay(++this.#attempts))
    this.#retry.unref()
  }
}

/** memjs writes each request by itself; corked, the requests of one turn leave in one write. */
function corked<T>({ client, socket }: Connection, start: (client: Client) => Promise<T>): Promise<T> {
  socket?.cork()
  try {
    return start(client)
  } finally {
    process.nextTick(() => socket?.uncork())
  }
}

function addressOf(name: string, server: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/.exec(server)
  const port = Number(match?.[3] ?? 11_211)
  const host = match?.[1] ?? match?.[2]
  if (!host || port < 1 || port > 65_535) throw new Error(`${name}: "${server}" is not host:port`)
  return { host, port }
}
