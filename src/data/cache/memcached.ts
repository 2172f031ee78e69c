/** Memcached as a shared tier, over one or more servers; a key always goes to the same one. */
import { hash } from 'node:crypto'
import type { Digest } from '../../core/key.ts'
import { type Address, Link } from './link.ts'
import { MemcachedReader, type MemcachedReply } from './memcached-reader.ts'
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

/** A server's own bound is 1 MiB with its header and the key. */
const DEFAULT_MAX_ENTRY_BYTES = 1_000_000
/** Memcached reads a longer one as a point in time. */
const MAX_TTL_SECONDS = 30 * 24 * 3_600 - 1
/**
 * A new meaning of facts is a new number: gateways of different builds share none. A server that was started again has
 * lost all of them, so it never shows an old one.
 */
const FACTS = 'fact2:'
/** Keys of one `get`: its line is read as a whole. */
const KEYS_A_LINE = 64
/** What an item takes besides key and value, on the safe side. */
const ITEM_OVERHEAD_BYTES = 128

/** Opens the tier and begins to connect; throws where a server's address is none. */
export function createMemcachedTier(options: MemcachedOptions): Tier {
  return new MemcachedTier(options)
}

interface Server {
  readonly link: Link<MemcachedReply>
  /** The largest item that it takes, as it says itself. */
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

  /** Each server is asked for its keys; one that does not answer makes its own keys misses, and only all of them a failure. */
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
    // A server that is away, while others are there, costs its own keys and says nothing of the tier.
    if (failed && isVain && !(isAway(failed.reason) && this.connected)) throw failed.reason
    return keys.map((key) => found.get(key))
  }

  async set(digest: Digest, value: Uint8Array, ttlMs: number): Promise<void> {
    const { maxEntryBytes } = this.#options
    if (value.length > maxEntryBytes) {
      throw new Unfit(`${this.name}: ${value.length} bytes are more than maxEntryBytes ${maxEntryBytes}`)
    }
    const expires = Math.min(MAX_TTL_SECONDS, Math.max(1, Math.ceil(ttlMs / 1_000)))
    await this.#store('set', this.#serverOf(digest), { key: this.#key(digest), value, expires })
  }

  async delete(digest: Digest): Promise<void> {
    await this.#write(
      'delete',
      this.#serverOf(digest),
      [`delete ${this.#key(digest)}\r\n`],
      /^(?:DELETED|NOT_FOUND)$/,
    )
  }

  async claim(name: string, value: string): Promise<string> {
    const { key, server } = this.#fact(name)
    // Between the two steps the server may evict it; then it is ours to claim again.
    for (let attempt = 0; attempt < 3; attempt++) {
      if (await this.#store('add', server, { key, value: Buffer.from(value), expires: 0 })) return value
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
    await this.#store('set', server, { key, value: Buffer.from(value), expires: 0 })
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const { link } of this.#servers) link.close()
  }

  #open(address: Address): Server {
    const { connectTimeout, maxEntryBytes } = this.#options
    const link = new Link<MemcachedReply>({
      address: () => address,
      connectTimeout,
      reader: (take) => new MemcachedReader(take, maxEntryBytes),
      async greet(ask) {
        const [version, settings] = await Promise.all([ask(['version\r\n']), ask(['stats settings\r\n'])])
        if (!version.line.startsWith('VERSION '))
          throw new Error(`it is no memcached: ${version.line.slice(0, 100)}`)
        // A proxy may not tell.
        const said = Number(settings.stats.get('item_size_max'))
        server.itemBytes = said > 0 ? said : Number.POSITIVE_INFINITY
      },
    })
    const server: Server = { link, itemBytes: Number.POSITIVE_INFINITY }
    return server
  }

  async #get(what: string, server: Server, keys: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
    const lines: string[] = []
    for (let from = 0; from < keys.length; from += KEYS_A_LINE)
      lines.push(`get ${keys.slice(from, from + KEYS_A_LINE).join(' ')}\r\n`)
    const replies = await this.#run(server, {
      what,
      ms: this.#options.readTimeout,
      start: (ask) => Promise.all(lines.map((line) => ask([line]))),
    })
    const found = new Map<string, Buffer>()
    for (const { line, values } of replies) {
      if (line !== 'END') throw new Error(`${this.name}: ${what}: ${line}`)
      for (const [key, value] of values) if (value) found.set(key, value)
    }
    return found
  }

  /** False: `add` found one there. */
  async #store(
    verb: 'set' | 'add',
    server: Server,
    { key, value, expires }: { key: string; value: Uint8Array; expires: number },
  ): Promise<boolean> {
    const parts = [`${verb} ${key} 0 ${expires} ${value.length}\r\n`, value, '\r\n']
    return (await this.#write(verb, server, parts, /^(?:STORED|NOT_STORED)$/)) === 'STORED'
  }

  async #write(
    what: string,
    server: Server,
    parts: readonly (string | Uint8Array)[],
    expected: RegExp,
  ): Promise<string> {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    const ms = this.#options.writeTimeout
    const { line } = await this.#run(server, { what, ms, bytes, start: (ask) => ask(parts) })
    if (expected.test(line)) return line
    const message = `${this.name}: ${what}: ${line}`
    throw /too large|out of memory storing/.test(line) ? new Unfit(message) : new Error(message)
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

  /** Rendezvous would move fewer keys when a server is added; a list that hardly changes does not need it. */
  #serverOf(digest: string): Server {
    const n = (digest.charCodeAt(28) << 16) | (digest.charCodeAt(29) << 8) | digest.charCodeAt(30)
    return this.#servers[n % this.#servers.length] as Server
  }
}

function addressOf(name: string, server: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/.exec(server)
  const port = Number(match?.[3] ?? 11_211)
  const host = match?.[1] ?? match?.[2]
  if (!host || port < 1 || port > 65_535) throw new Error(`${name}: "${server}" is not host:port`)
  return { host, port }
}
