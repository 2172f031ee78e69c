/**
 * Redis, Valkey or a cluster of them as a shared tier. Nothing waits for a connection: while there is none, every operation
 * rejects at once, and the client goes on trying in the background.
 */
import type { Digest } from '../../../core/key.ts'
import type { SharedStore } from '../../../core/shared.ts'
import type { LeaseTier } from './lease-tier.ts'
import { createMget } from './mget.ts'
import type { RedisClient, RedisCommand } from './redis-client.ts'
import { createRedisFacts, type RedisFacts } from './redis-facts.ts'
import { createRedisLeases, type ScriptCall } from './redis-leases.ts'
import { type FurtherConnection, type OpenedRedis, openRedis, type RedisOptions } from './redis-open.ts'
import { type Args, type RedisReply, RespError } from './redis-reply.ts'
import {
  base64url,
  DEFAULT_CONNECT_TIMEOUT,
  DEFAULT_PREFIX,
  DEFAULT_READ_TIMEOUT,
  DEFAULT_WRITE_TIMEOUT,
} from './remote.ts'
import { Away, type Hints, type Tier, Unfit, Unwritable } from './tier.ts'

export type { RedisOptions } from './redis-open.ts'

/** No call waits for the store, so it may take longer than a lookup. */
const STORE_TIMEOUT_MS = 500
const DEFAULT_MAX_ENTRY_BYTES = 8 * 1024 * 1024
/** Error codes of a server that takes no writes. */
const UNWRITABLE = new Set(['OOM', 'READONLY', 'MISCONF', 'NOREPLICAS'])
/** The bound on what gateways tell each other of their backends. */
const MAX_RECORD_BYTES = 16 * 1024 * 1024

/** Opens the tier and begins to connect; throws where the URL is invalid. */
export function createRedisTier(options: RedisOptions): Tier {
  return new RedisTier(options)
}

class RedisTier implements Tier {
  readonly name: string
  readonly leases: LeaseTier
  readonly hints: Hints
  readonly #options: Required<Omit<RedisOptions, 'cluster' | 'sentinel' | 'tls'>> & Pick<RedisOptions, 'tls'>
  readonly #isCluster: boolean
  readonly #opened: OpenedRedis
  readonly #facts: RedisFacts
  readonly #mget: (digests: readonly Digest[]) => Buffer
  /** A connection of its own: one that has subscribed can do nothing else. */
  #listener: FurtherConnection | undefined
  #closed = false

  constructor(options: RedisOptions) {
    this.name = options.name
    this.#isCluster = options.cluster ?? false
    this.#options = {
      readTimeout: DEFAULT_READ_TIMEOUT,
      writeTimeout: DEFAULT_WRITE_TIMEOUT,
      connectTimeout: DEFAULT_CONNECT_TIMEOUT,
      maxEntryBytes: DEFAULT_MAX_ENTRY_BYTES,
      prefix: DEFAULT_PREFIX,
      ...options,
    }
    this.#mget = createMget((base64url) => this.#keyOf(base64url))
    this.#opened = openRedis(options, this.#options.maxEntryBytes)
    this.hints = {
      send: () =>
        void this.#write('hint', 0, [this.#command(['PUBLISH', this.#channel, ''], this.#channel)]).catch(
          () => {},
        ),
      listen: (run) => this.#listen(run),
    }
    this.leases = createRedisLeases({
      name: this.name,
      cluster: this.#isCluster,
      maxEntryBytes: this.#options.maxEntryBytes,
      valueKey: (digest) => this.#key(digest),
      leaseKey: (digest) => this.#leaseKey(digest),
      run: (what, call) => this.#script(what, call),
    })
    this.#facts = createRedisFacts({
      name: this.name,
      prefix: this.#options.prefix,
      run: (what, call) => this.#script(what, call),
    })
  }

  get #client(): RedisClient {
    return this.#opened.client
  }

  get connected(): boolean {
    return this.#client.connected
  }

  get since(): number {
    return this.#client.since
  }

  get isDeciding(): boolean {
    return this.#client.isDeciding
  }

  get trouble(): string {
    return this.#client.trouble
  }

  get refusal(): string | undefined {
    return this.#client.refusal ?? this.#listener?.refusal
  }

  get missing(): string | undefined {
    return this.#client.missing
  }

  takes(digest: Digest): boolean {
    return this.#client.reaches(this.#key(digest))
  }

  async getMany(digests: readonly Digest[]): Promise<(Uint8Array | undefined)[]> {
    if (digests.length === 0) return []
    const values = this.#isCluster ? await this.#getEach(digests) : await this.#getAll(digests)
    const { maxEntryBytes } = this.#options
    return values.map((value) =>
      Buffer.isBuffer(value) && value.length <= maxEntryBytes ? value : undefined,
    )
  }

  async #getAll(digests: readonly Digest[]): Promise<readonly RedisReply[]> {
    const reply = await this.#read('get', { args: ['MGET'], bytes: this.#mget(digests), key: '' })
    if (Array.isArray(reply) && reply.length === digests.length) return reply
    throw new Error(`${this.name}: the answer does not fit the keys`)
  }

  /** A key that cannot be read because its node is away is a miss; if no key can be read, that is a failure. */
  async #getEach(digests: readonly Digest[]): Promise<readonly RedisReply[]> {
    const commands = digests.map((digest) => this.#command(['GET', this.#key(digest)]))
    const replies = await this.#run({ what: 'get', ms: this.#options.readTimeout, commands })
    const failed = replies.find((reply) => reply instanceof RespError && !isElsewhere(reply))
    if (failed && replies.every((reply) => reply instanceof RespError)) this.#value(failed)
    return replies
  }

  async set(digest: Digest, value: Uint8Array, ttlMs: number): Promise<void> {
    const { maxEntryBytes } = this.#options
    if (value.length > maxEntryBytes) {
      throw new Unfit(`${this.name}: ${value.length} bytes are more than maxEntryBytes ${maxEntryBytes}`)
    }
    const ttl = `${Math.max(1, Math.ceil(ttlMs))}`
    await this.#write('set', value.length, [this.#command(['SET', this.#key(digest), value, 'PX', ttl])])
  }

  async delete(digest: Digest): Promise<void> {
    // The lease is deleted with the value: a load that began before the deletion must not store its answer after it.
    await this.#write('delete', 0, [this.#command(['DEL', this.#key(digest), this.#leaseKey(digest)])])
  }

  claim(name: string, value: string): Promise<string> {
    return this.#facts.claim(name, value)
  }

  facts(names: readonly string[]): Promise<(string | undefined)[]> {
    return this.#facts.facts(names)
  }

  publish(name: string, value: string): Promise<void> {
    return this.#facts.publish(name, value)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#client.close()
    this.#listener?.close()
  }

  get #channel(): string {
    return `${this.#options.prefix}hints`
  }

  /** Subscribes on a connection of its own, for as long as the tier is open. In a cluster every node passes all messages on. */
  #listen(run: () => void): void {
    if (this.#closed || this.#listener) return
    this.#listener = this.#opened.connect({
      maxBytes: 1024,
      trial: [
        {
          args: ['SUBSCRIBE', this.#channel],
          fits: (channels) => {
            // Messages sent while nobody was subscribed are lost, so the facts are polled.
            if (channels === 1) setImmediate(run)
            return channels === 1
          },
        },
      ],
      onMessage: run,
    })
  }

  #key(digest: Digest): string {
    const name = base64url(digest)
    return this.#keyOf(name, this.#client.keyspaceOf(this.#keyOf(name)))
  }

  #keyOf(name: string, keyspace = ''): string {
    return `${this.#options.prefix}${keyspace}{${name}}`
  }

  #leaseKey(digest: Digest): string {
    return `${this.#key(digest)}:lease`
  }

  async #script(kind: 'read' | 'write', call: ScriptCall): Promise<RedisReply> {
    const { readTimeout, writeTimeout } = this.#options
    const run = async (...head: [string, string]) => {
      const [reply] = await this.#run({
        what: 'script',
        ms: kind === 'read' ? readTimeout : writeTimeout,
        bytes: sizeOf(call),
        commands: [scriptCommand(head, call.keys, call.args)],
      })
      return reply as RedisReply
    }
    const reply = await run('EVALSHA', call.sha)
    const isUnknown = reply instanceof RespError && reply.code === 'NOSCRIPT'
    return this.#value(isUnknown ? await run('EVAL', call.lua) : reply)
  }

  async #read(what: string, one: RedisCommand): Promise<RedisReply> {
    const [reply] = await this.#run({ what, ms: this.#options.readTimeout, commands: [one] })
    return this.#value(reply as RedisReply)
  }

  async #write(what: string, bytes: number, commands: readonly RedisCommand[]): Promise<void> {
    const replies = await this.#run({ what, ms: this.#options.writeTimeout, bytes, commands })
    for (const reply of replies) this.#value(reply)
  }

  #command(args: Args & readonly [string, string, ...unknown[]], key = args[1]): RedisCommand {
    return { args, key }
  }

  async #run(operation: Parameters<RedisClient['run']>[0]): Promise<readonly RedisReply[]> {
    if (this.#closed) throw new Error(`${this.name}: closed`)
    try {
      return await this.#client.run(operation)
    } catch (error) {
      throw new Error(`${this.name}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
  }

  /** Throws where the reply is an error. */
  #value(reply: RedisReply): RedisReply {
    if (!(reply instanceof RespError)) return reply
    const message = `${this.name}: ${reply.message.slice(0, 200)}`
    if (isElsewhere(reply)) throw new Away(message)
    throw UNWRITABLE.has(reply.code) ? new Unwritable(message) : new Error(message)
  }
}

/** The node that has the key is away, or this part of the cluster cannot answer for it. */
function isElsewhere({ code }: RespError): boolean {
  return code === 'AWAY' || code === 'CLUSTERDOWN'
}

function scriptCommand(
  [verb, script]: readonly [string, string],
  keys: readonly string[],
  args: readonly (string | Uint8Array)[],
): RedisCommand {
  return { args: [verb, script, `${keys.length}`, ...keys, ...args], key: keys[0] ?? '' }
}

function sizeOf({ args }: ScriptCall): number {
  return args.reduce((sum, arg) => sum + arg.length, 0)
}

/** Opens a connection of its own for what gateways tell each other, so that a cache under load does not hold it up. */
export function createRedisStore(options: RedisOptions): SharedStore {
  const { name, prefix = DEFAULT_PREFIX } = options
  const { client } = openRedis(options, MAX_RECORD_BYTES)
  return {
    get connected() {
      return client.connected
    },
    async run(script, keys, args) {
      const names = keys.map((key) => prefix + key)
      const [reply] = await client.run({
        what: `${name}: script`,
        ms: STORE_TIMEOUT_MS,
        commands: [scriptCommand(['EVAL', script], names, args)],
      })
      if (reply instanceof RespError) throw new Error(`${name}: ${reply.message.slice(0, 200)}`)
      return texts(reply as RedisReply)
    },
    close: () => client.close(),
  }
}

/** A script's reply with its bulk strings as text. */
function texts(reply: RedisReply): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString('utf8')
  return Array.isArray(reply) ? reply.map(texts) : reply
}
