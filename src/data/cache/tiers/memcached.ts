/** Memcached as a shared tier, over one or more servers; a key always goes to the same one, and is lost with it. */

import { hash } from 'node:crypto'
import type { SocketAddress } from '../../../core/addresses.ts'
import type { Digest } from '../../../core/key.ts'
import { connectMemcached, type MemcachedClient } from './memcached-connection.ts'
import { claimFact, FACT_REPLICAS, type FactReplica, publishFact, readFact } from './memcached-facts.ts'
import { ReconnectingConnection } from './reconnecting-connection.ts'
import {
  base64url,
  DEFAULT_CONNECT_TIMEOUT,
  DEFAULT_PREFIX,
  DEFAULT_READ_TIMEOUT,
  DEFAULT_WRITE_TIMEOUT,
  factName,
  hostPortOf,
  type RemoteOptions,
} from './remote.ts'
import { createRendezvous, type Rendezvous } from './rendezvous.ts'
import { isAway, type Tier, Unfit } from './tier.ts'
import { TierNode } from './tier-node.ts'

export interface MemcachedOptions extends RemoteOptions {
  /** `host:port`, or `[v6]:port`; the port is 11211 where it is left out; or `unix:/path` of a socket. */
  readonly servers: readonly string[]
  /** For SASL (PLAIN), at every server; left out: none. */
  readonly username?: string | undefined
  readonly password?: string | undefined
}

/** A server's default limit is 1 MiB, item header and key included. */
const DEFAULT_MAX_ENTRY_BYTES = 1_000_000
/** Memcached reads a larger number as a point in time. */
const MAX_TTL_SECONDS = 30 * 24 * 3_600 - 1
/** A number for the meaning of facts: gateways whose builds differ in it share none. */
const FACTS = 'fact3:'
const DEFAULT_PORT = 11_211
/** What an item takes besides key and value, rounded up. */
const ITEM_OVERHEAD_BYTES = 128

/** Opens the tier and begins to connect; throws where a server's address is invalid. */
export function createMemcachedTier(options: MemcachedOptions): Tier {
  return new MemcachedTier(options)
}

/** The largest item that a server takes, by its own settings. */
interface ItemLimits {
  itemBytes: number
}

interface Server {
  /** As in the settings. */
  readonly name: string
  readonly node: TierNode<MemcachedClient>
  readonly limits: ItemLimits
}

class MemcachedTier implements Tier {
  readonly name: string
  readonly #options: Required<Omit<MemcachedOptions, 'username' | 'password'>> & MemcachedOptions
  readonly #servers: readonly Server[]
  readonly #place: Rendezvous<Server>
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
    this.#servers = addresses.map((address, i) => this.#open(options.servers[i] as string, address))
    this.#place = createRendezvous(this.#servers)
  }

  get connected(): boolean {
    for (const { node } of this.#servers) if (node.link.isUp) return true
    return false
  }

  /** A server that could not be reached for a while comes back with what it had, and has missed deletions. */
  get since(): number {
    return Math.max(...this.#servers.map(({ node }) => node.link.since))
  }

  get isDeciding(): boolean {
    return this.#servers.some(({ node }) => node.link.isDeciding)
  }

  get trouble(): string {
    return this.#servers.find(({ node }) => !node.link.isUp)?.node.link.trouble ?? ''
  }

  get missing(): string | undefined {
    if (this.#servers.length === 1 || this.#servers.every(({ node }) => node.isUp)) return undefined
    return this.#servers.flatMap(({ name, node }) => (node.isUp ? [] : name)).join(', ')
  }

  get refusal(): string | undefined {
    for (const { name, node } of this.#servers)
      if (node.link.refusal !== undefined) return `server ${name}: ${node.link.refusal}`
    return undefined
  }

  takes(digest: Digest, bytes: number): boolean {
    const { node, limits } = this.#place.first(digest)
    return node.isUp && bytes <= limits.itemBytes - ITEM_OVERHEAD_BYTES - this.#key(digest).length
  }

  /** Asks each server for its keys. If a server does not answer, its keys are misses; if none answers, that is a failure. */
  async getMany(digests: readonly Digest[]): Promise<(Uint8Array | undefined)[]> {
    const shares = new Map<Server, string[]>()
    const keys = digests.map((digest) => {
      const server = this.#place.first(digest)
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
    await this.#write('set', this.#place.first(digest), value.length, (client) =>
      client.set(this.#key(digest), bytes, expires),
    )
  }

  async delete(digest: Digest): Promise<void> {
    await this.#write('delete', this.#place.first(digest), 0, (client) => client.delete(this.#key(digest)))
  }

  claim(name: string, value: string): Promise<string> {
    return claimFact(this.#replicas(name, 'claim'), this.#factKey(name), value)
  }

  facts(names: readonly string[]): Promise<(string | undefined)[]> {
    return Promise.all(names.map((name) => readFact(this.#replicas(name, 'facts'), this.#factKey(name))))
  }

  publish(name: string, value: string): Promise<void> {
    return publishFact(this.#replicas(name, 'publish'), this.#factKey(name), value)
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const { node } of this.#servers) node.link.close()
  }

  #open(name: string, address: SocketAddress): Server {
    const { connectTimeout, maxEntryBytes: maxBytes, prefix, username, password } = this.#options
    const limits: ItemLimits = { itemBytes: Number.POSITIVE_INFINITY }
    const link = new ReconnectingConnection<MemcachedClient>({
      address: () => address,
      connectTimeout,
      open: (to, events) => connectMemcached(to, { connectTimeout, maxBytes, username, password }, events),
      greet: async (client) => {
        const settings = client.settings().catch(() => undefined)
        await client.get(`${prefix}ping`)
        // A proxy may not report settings.
        const said = Number((await settings)?.['item_size_max'])
        limits.itemBytes = said > 0 ? said : Number.POSITIVE_INFINITY
      },
    })
    return { name, node: new TierNode(link), limits }
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

  /** A tier of one server is judged by the guard alone. */
  async #run<T>({ node }: Server, operation: Parameters<typeof node.run<T>>[0]): Promise<T> {
    if (this.#closed) throw new Error(`${this.name}: closed`)
    try {
      return await (this.#servers.length === 1 ? node.link.run(operation) : node.run(operation))
    } catch (error) {
      throw new Error(`${this.name}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
  }

  #key(digest: Digest): string {
    return this.#options.prefix + base64url(digest)
  }

  #factKey(name: string): string {
    return `${this.#options.prefix}${FACTS}${factName(name)}`
  }

  #replicas(name: string, what: string): FactReplica[] {
    const digest = hash('sha256', this.#factKey(name), 'latin1')
    return this.#place.ranked(digest, FACT_REPLICAS).map((server) => ({
      get isUp() {
        return server.node.isUp
      },
      get: async (key) => (await this.#get(what, server, [key])).get(key),
      set: (key, bytes) => this.#write(what, server, bytes.length, (client) => client.set(key, bytes, 0)),
      add: (key, bytes) => this.#write(what, server, bytes.length, (client) => client.add(key, bytes)),
    }))
  }
}

function addressOf(name: string, server: string): SocketAddress {
  const path = /^unix:(?:\/\/)?(\/.+)$/.exec(server)?.[1]
  return path === undefined ? hostPortOf(name, server, DEFAULT_PORT) : { path }
}
