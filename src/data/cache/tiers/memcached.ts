/** Memcached as a shared tier, over one or more servers; a key always goes to the same one. */

import { hash } from 'node:crypto'
import type { HostPort } from '../../../core/addresses.ts'
import type { Digest } from '../../../core/key.ts'
import { connectMemcached, type MemcachedClient } from './memcached-connection.ts'
import { ReconnectingConnection } from './reconnecting-connection.ts'
import {
  base64url,
  DEFAULT_CONNECT_TIMEOUT,
  DEFAULT_PREFIX,
  DEFAULT_READ_TIMEOUT,
  DEFAULT_WRITE_TIMEOUT,
  factName,
  type RemoteOptions,
} from './remote.ts'
import { isAway, type Tier, Unfit } from './tier.ts'

export interface MemcachedOptions extends RemoteOptions {
  /** `host:port`, or `[v6]:port`; the port is 11211 where it is left out. */
  readonly servers: readonly string[]
}

/** A server's default limit is 1 MiB, item header and key included. */
const DEFAULT_MAX_ENTRY_BYTES = 1_000_000
/** Memcached reads a larger number as a point in time. */
const MAX_TTL_SECONDS = 30 * 24 * 3_600 - 1
/**
 * A number for the meaning of facts: gateways whose builds differ in it share none. A server that was restarted has lost
 * all facts, so it never shows an old one.
 */
const FACTS = 'fact2:'
/** What an item takes besides key and value, rounded up. */
const ITEM_OVERHEAD_BYTES = 128

/** Opens the tier and begins to connect; throws where a server's address is invalid. */
export function createMemcachedTier(options: MemcachedOptions): Tier {
  return new MemcachedTier(options)
}

interface Server {
  readonly link: ReconnectingConnection<MemcachedClient>
  /** The largest item that the server takes, by its own settings. */
  itemBytes: number
}

class MemcachedTier implements Tier {
  readonly name: string
  readonly #options: Required<MemcachedOptions>
  readonly #servers: readonly Server[]
  #closed = false

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
    this.#servers = addresses.map((address) => this.#open(address))
  }

  get connected(): boolean {
    for (const { link } of this.#servers) if (link.isUp) return true
    return false
  }

  get isDeciding(): boolean {
    return this.#servers.some(({ link }) => link.isDeciding)
  }

  get trouble(): string {
    return this.#servers.find(({ link }) => !link.isUp)?.link.trouble ?? ''
  }

  takes(digest: Digest, bytes: number): boolean {
    const { link, itemBytes } = this.#serverOf(digest)
    return link.isUp && bytes <= itemBytes - ITEM_OVERHEAD_BYTES - this.#key(digest).length
  }

  /** Asks each server for its keys. If a server does not answer, its keys are misses; if none answers, that is a failure. */
  async getMany(digests: readonly Digest[]): Promise<(Uint8Array | undefined)[]> {
    const shares = new Map<Server, string[]>()
    const keys = digests.map((digest) => {
      const server = this.#serverOf(digest)
      const key = this.#key(digest)
      const share = shares.get(server)
      if (share) share.push(key)
      else shares.set(server, [key])
      return key
    })
    const outcomes = await Promise.allSettled(
      [...shares].map(([server, share]) => this.#get('get', server, share)),
    )
    const found = new Map(
      outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [...outcome.value] : [])),
    )
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    const isVain = outcomes.every((outcome) => outcome.status === 'rejected')
    // A server that is away, while others are there, makes its own keys misses and says nothing of the tier.
    if (failed && isVain && !(isAway(failed.reason) && this.connected)) throw failed.reason
    return keys.map((key) => found.get(key))
  }

  async set(digest: Digest, value: Uint8Array, ttlMs: number): Promise<void> {
    const { maxEntryBytes } = this.#options
    if (value.length > maxEntryBytes) {
      throw new Unfit(`${this.name}: ${value.length} bytes are more than maxEntryBytes ${maxEntryBytes}`)
    }
    const expires = Math.min(MAX_TTL_SECONDS, Math.max(1, Math.ceil(ttlMs / 1_000)))
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
    await this.#write('set', this.#serverOf(digest), value.length, (client) =>
      client.set(this.#key(digest), bytes, expires),
    )
  }

  async delete(digest: Digest): Promise<void> {
    await this.#write('delete', this.#serverOf(digest), 0, (client) => client.delete(this.#key(digest)))
  }

  async claim(name: string, value: string): Promise<string> {
    const { key, server } = this.#fact(name)
    // The server may evict the fact between the two steps; then it can be claimed again.
    for (let attempt = 0; attempt < 3; attempt++) {
      const bytes = Buffer.from(value)
      if (await this.#write('claim', server, bytes.length, (client) => client.add(key, bytes))) return value
      const present = (await this.#get('claim', server, [key])).get(key)
      if (present) return present.toString('utf8')
    }
    throw new Error(`${this.name}: claim: the value comes and goes`)
  }

  facts(names: readonly string[]): Promise<(string | undefined)[]> {
    return Promise.all(
      names.map(async (name) => {
        const { key, server } = this.#fact(name)
        return (await this.#get('facts', server, [key])).get(key)?.toString('utf8')
      }),
    )
  }

  async publish(name: string, value: string): Promise<void> {
    const { key, server } = this.#fact(name)
    const bytes = Buffer.from(value)
    await this.#write('publish', server, bytes.length, (client) => client.set(key, bytes, 0))
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const { link } of this.#servers) link.close()
  }

  #open(address: HostPort): Server {
    const { connectTimeout, maxEntryBytes } = this.#options
    const link = new ReconnectingConnection<MemcachedClient>({
      address: () => address,
      connectTimeout,
      open: (to, events) => connectMemcached(to, { connectTimeout, maxBytes: maxEntryBytes }, events),
      greet: async (client) => {
        const settings = client.settings().catch(() => undefined)
        await client.get(`${this.#options.prefix}ping`)
        // A proxy may not report settings.
        const said = Number((await settings)?.['item_size_max'])
        server.itemBytes = said > 0 ? said : Number.POSITIVE_INFINITY
      },
    })
    const server: Server = { link, itemBytes: Number.POSITIVE_INFINITY }
    return server
  }

  async #get(what: string, server: Server, keys: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
    const { readTimeout: ms, maxEntryBytes } = this.#options
    const values = await this.#run(server, {
      what,
      ms,
      start: (client) => Promise.all(keys.map((key) => client.get(key))),
    })
    const found = new Map<string, Buffer>()
    values.forEach((value, i) => {
      if (value && value.length <= maxEntryBytes) found.set(keys[i] as string, value)
    })
    return found
  }

  async #write<T>(
    what: string,
    server: Server,
    bytes: number,
    start: (client: MemcachedClient) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#run(server, { what, ms: this.#options.writeTimeout, bytes, start })
    } catch (error) {
      const { message } = error as Error
      throw /Value too large|Out of memory/.test(message) ? new Unfit(message) : error
    }
  }

  async #run<T>({ link }: Server, operation: Parameters<typeof link.run<T>>[0]): Promise<T> {
    if (this.#closed) throw new Error(`${this.name}: closed`)
    try {
      return await link.run(operation)
    } catch (error) {
      throw new Error(`${this.name}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
  }

  #key(digest: Digest): string {
    return this.#options.prefix + base64url(digest)
  }

  #fact(name: string): { readonly key: string; readonly server: Server } {
    const key = `${this.#options.prefix}${FACTS}${factName(name)}`
    return { key, server: this.#serverOf(hash('sha256', key, 'latin1')) }
  }

  /** Rendezvous hashing would move fewer keys when a server is added; the list hardly ever changes. */
  #serverOf(digest: string): Server {
    const n = (digest.charCodeAt(28) << 16) | (digest.charCodeAt(29) << 8) | digest.charCodeAt(30)
    return this.#servers[n % this.#servers.length] as Server
  }
}

function addressOf(name: string, server: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/.exec(server)
  const port = Number(match?.[3] ?? 11_211)
  const host = match?.[1] ?? match?.[2]
  if (!host || port < 1 || port > 65_535) throw new Error(`${name}: "${server}" is not host:port`)
  return { host, port }
}
