/**
 * Redis, Valkey or a cluster of them as a shared tier. Nothing waits for a connection: while there is none,
 * every operation rejects at once, and the client goes on trying in the background.
 */
import { type RedisOptions as ClientOptions, Cluster, Command, Redis } from 'ioredis'
import type { Digest } from '../../core/key.ts'
import type { SharedStore } from '../../core/shared.ts'
import type { LeaseTier } from './lease-tier.ts'
import { createMget } from './mget.ts'
import { createRedisLeases, type ScriptCall } from './redis-leases.ts'
import {
  base64url,
  DEFAULT_CONNECT_TIMEOUT,
  DEFAULT_PREFIX,
  DEFAULT_READ_TIMEOUT,
  DEFAULT_WRITE_TIMEOUT,
  factKey,
  Outstanding,
  type RemoteOptions,
  redact,
  retryDelay,
} from './remote.ts'
import type { Hints, Tier } from './tier.ts'

export interface RedisOptions extends RemoteOptions {
  /** `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS. */
  readonly url: string
  /** The URL names one node of a cluster: keys are fetched one by one, pipelined by node. */
  readonly cluster?: boolean
}

/** Nobody waits for it, so it may take longer than a look-up. */
const STORE_TIMEOUT_MS = 500
const DEFAULT_MAX_ENTRY_BYTES = 8 * 1024 * 1024

/** Opens the tier and begins to connect; throws where the URL is none. */
export function createRedisTier(options: RedisOptions): Tier {
  return new RedisTier(options)
}

class RedisTier implements Tier {
  readonly name: string
  readonly leases: LeaseTier
  readonly hints: Hints
  readonly #options: Required<Omit<RedisOptions, 'cluster'>>
  readonly #client: Redis | Cluster
  readonly #outstanding: Outstanding
  readonly #secret: string
  readonly #mget: (digests: readonly Digest[]) => Buffer
  /** A connection that has subscribed can do nothing else. */
  #listener: Redis | undefined
  #lastError = 'still connecting'
  #closed = false

  constructor(options: RedisOptions) {
    this.name = options.name
    this.#options = {
      readTimeout: DEFAULT_READ_TIMEOUT,
      writeTimeout: DEFAULT_WRITE_TIMEOUT,
      connectTimeout: DEFAULT_CONNECT_TIMEOUT,
      maxEntryBytes: DEFAULT_MAX_ENTRY_BYTES,
      prefix: DEFAULT_PREFIX,
      ...options,
    }
    this.#secret = passwordOf(options)
    this.#mget = createMget((base64url) => this.#keyOf(base64url))
    this.#client = connect(options, this.#options.connectTimeout)
    this.#client.on('error', (error: Error) => {
      this.#lastError = this.#clean(error)
    })
    this.#outstanding = new Outstanding(() => disconnected(this.#client))
    this.hints = {
      send: () => void this.#write('hint', 0, () => this.#client.publish(this.#channel, '')).catch(() => {}),
      listen: (run) => this.#listen(run),
    }
    this.leases = createRedisLeases({
      name: this.name,
      cluster: options.cluster ?? false,
      maxEntryBytes: this.#options.maxEntryBytes,
      valueKey: (digest) => this.#key(digest),
      leaseKey: (digest) => this.#leaseKey(digest),
      run: (what, call) =>
        what === 'read'
          ? this.#read('lease', () => this.#script(call))
          : this.#write('lease', sizeOf(call), () => this.#script(call)),
    })
  }

  get connected(): boolean {
    return this.#client.status === 'ready'
  }

  async getMany(digests: readonly Digest[]): Promise<(Uint8Array | undefined)[]> {
    if (digests.length === 0) return []
    const client = this.#client
    const values = await this.#read('get', () =>
      client instanceof Cluster
        ? Promise.all(digests.map((digest) => client.getBuffer(this.#key(digest))))
        : (client.sendCommand(new Mget(this.#mget(digests))) as Promise<(Buffer | null)[]>),
    )
    if (!Array.isArray(values) || values.length !== digests.length) {
      throw new Error(`${this.name}: the answer does not fit the keys`)
    }
    const { maxEntryBytes } = this.#options
    return values.map((value) => (value && value.length <= maxEntryBytes ? value : undefined))
  }

  async set(digest: Digest, value: Uint8Array, ttlMs: number): Promise<void> {
    const { maxEntryBytes } = this.#options
    if (value.length > maxEntryBytes) {
      throw new Error(`${this.name}: ${value.length} bytes are more than maxEntryBytes ${maxEntryBytes}`)
    }
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
    const ttl = Math.max(1, Math.ceil(ttlMs))
    await this.#write('set', value.length, () => this.#client.set(this.#key(digest), bytes, 'PX', ttl))
  }

  async delete(digest: Digest): Promise<void> {
    // The lease goes with the value: what was asked for before the deletion must not be stored after it.
    await this.#write('delete', 0, () => this.#client.del(this.#key(digest), this.#leaseKey(digest)))
  }

  async claim(name: string, value: string): Promise<string> {
    const key = factKey(this.#options.prefix, name)
    // Between the two steps somebody may delete it; then it is ours to claim again.
    for (let attempt = 0; attempt < 3; attempt++) {
      const set = await this.#write('claim', 0, () => this.#client.set(key, value, 'NX'))
      if (set === 'OK') return value
      const present = await this.#write('claim', 0, () => this.#client.get(key))
      if (present !== null) return present
    }
    throw new Error(`${this.name}: claim: the value comes and goes`)
  }

  async facts(names: readonly string[]): Promise<(string | undefined)[]> {
    const keys = names.map((name) => factKey(this.#options.prefix, name))
    const values = await this.#read('facts', () => Promise.all(keys.map((key) => this.#client.get(key))))
    return values.map((value) => value ?? undefined)
  }

  async publish(name: string, value: string): Promise<void> {
    await this.#write('publish', 0, () => this.#client.set(factKey(this.#options.prefix, name), value))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#client.disconnect()
    this.#listener?.disconnect()
  }

  get #channel(): string {
    return `${this.#options.prefix}hints`
  }

  /** On a connection of its own, made anew for as long as the tier is open. In a cluster any node hears of all. */
  #listen(run: () => void): void {
    if (this.#closed || this.#listener) return
    const listener = new Redis(this.#options.url, clientOptions(this.#options.connectTimeout))
    listener.on('error', () => {})
    listener.on('ready', () => {
      // What was said while nobody listened is asked for.
      listener.subscribe(this.#channel).then(run, () => listener.disconnect(true))
    })
    listener.on('message', run)
    this.#listener = listener
  }

  #key(digest: Digest): string {
    return this.#keyOf(base64url(digest))
  }

  #keyOf(name: string): string {
    return `${this.#options.prefix}{${name}}`
  }

  #leaseKey(digest: Digest): string {
    return `${this.#key(digest)}:lease`
  }

  async #script({ sha, lua, keys, args }: ScriptCall): Promise<unknown> {
    try {
      return await this.#client.callBuffer('evalsha', sha, keys.length, ...keys, ...args)
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return this.#client.callBuffer('eval', lua, keys.length, ...keys, ...args)
    }
  }

  #read<T>(what: string, start: () => Promise<T>): Promise<T> {
    return this.#run({ what, ms: this.#options.readTimeout, bytes: 0, start })
  }

  #write<T>(what: string, bytes: number, start: () => Promise<T>): Promise<T> {
    return this.#run({ what, ms: this.#options.writeTimeout, bytes, start })
  }

  async #run<T>(operation: { what: string; ms: number; bytes: number; start: () => Promise<T> }): Promise<T> {
    if (this.#closed) throw new Error(`${this.name}: closed`)
    if (!this.connected) throw new Error(`${this.name}: not connected: ${this.#lastError}`)
    try {
      return await this.#outstanding.run(operation)
    } catch (error) {
      // oxlint-disable-next-line preserve-caught-error -- the client's errors carry the command, a password in it
      throw new Error(`${this.name}: ${this.#clean(error)}`)
    }
  }

  #clean(error: unknown): string {
    const text = redact(error instanceof Error ? error.message : String(error))
    return this.#secret === '' ? text : text.replaceAll(this.#secret, '***')
  }
}

/** A command that is bytes already. */
class Mget extends Command {
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    super('mget')
    this.#bytes = bytes
  }

  override toWritable(): Buffer {
    return this.#bytes
  }
}

function sizeOf({ args }: ScriptCall): number {
  return args.reduce((sum, arg) => sum + arg.length, 0)
}

/** Opens a connection of its own for what gateways tell each other; a cache under load does not hold it up. */
export function createRedisStore(options: RedisOptions): SharedStore {
  const { name, prefix = DEFAULT_PREFIX, connectTimeout = DEFAULT_CONNECT_TIMEOUT } = options
  passwordOf(options)
  const client = connect(options, connectTimeout)
  client.on('error', () => {})
  const outstanding = new Outstanding(() => disconnected(client))
  return {
    get connected() {
      return client.status === 'ready'
    },
    run: (script, keys, args) =>
      outstanding.run({
        what: `${name}: script`,
        ms: STORE_TIMEOUT_MS,
        start: () => client.eval(script, keys.length, ...keys.map((key) => prefix + key), ...args),
      }),
    close: () => client.disconnect(),
  }
}

/** Destroys what is there: a polite end would wait for the frozen server. */
function disconnected(client: Redis | Cluster): void {
  if (client instanceof Cluster) for (const node of client.nodes()) node.stream?.destroy()
  else client.stream?.destroy()
}

function clientOptions(connectTimeout: number): ClientOptions {
  return {
    connectTimeout,
    disconnectTimeout: 50,
    enableOfflineQueue: false,
    // No INFO on connect: it has no deadline, and a server still loading says so to every command.
    enableReadyCheck: false,
    disableClientInfo: true,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    retryStrategy: retryDelay,
  }
}

function connect({ url, cluster }: RedisOptions, connectTimeout: number): Redis | Cluster {
  const client = clientOptions(connectTimeout)
  if (!cluster) return new Redis(url, client)
  return new Cluster([url], {
    enableOfflineQueue: false,
    enableReadyCheck: false,
    clusterRetryStrategy: retryDelay,
    retryDelayOnFailover: 0,
    maxRedirections: 3,
    redisOptions: client,
  })
}

function passwordOf({ name, url }: RedisOptions): string {
  const parsed = URL.parse(url)
  if (!parsed || !/^rediss?:$/.test(parsed.protocol)) {
    throw new Error(`${name}: url must begin with redis:// or rediss:// and name a host`)
  }
  return decodeURIComponent(parsed.password)
}
