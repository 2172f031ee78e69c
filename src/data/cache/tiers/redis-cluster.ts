/**
 * A client of a Redis cluster: each command goes to the node that has its key's slot. Any node that answers gives the slot
 * map. It is read again when a node says that a slot has moved, when a node is away, and from time to time. A failing
 * node makes its own keys fail and no others.
 *
 * A replica that takes over, or a node that starts again from a snapshot, may lack the last writes, deletions among them.
 * So each life of a node (`redis-life.ts`) has a keyspace of its own: what was kept before is out of reach.
 */
import type { HostPort } from '../../../core/addresses.ts'
import type { ReconnectingConnection } from './reconnecting-connection.ts'
import { onReply, type RedisClient, type RedisCommand, type RedisOperation } from './redis-client.ts'
import { type SendCommands, slotOf } from './redis-connection.ts'
import { type EncodedCommand, type RedisReply, RespError } from './redis-reply.ts'
import { nameOf, readRedirection, readSlots, type SlotMap } from './redis-slots.ts'
import { Away, isAway } from './tier.ts'
import { TierNode } from './tier-node.ts'

interface ClusterOptions {
  /** The node that the settings name; it is always among those asked for the map. */
  readonly seed: HostPort
  /** `onLife` is called during each greeting, with the life that the node is in. */
  readonly open: (address: HostPort, onLife: (life: string) => void) => ReconnectingConnection<SendCommands>
  readonly connectTimeout: number
}

interface Node extends TierNode<SendCommands> {
  life?: string
}

const TICK_MS = 1_000
/** The pause until there is a map, and after a node has said that the map is wrong. */
const HURRY_MS = 50
const MAP_AGE_MS = 30_000
const MAX_REDIRECTIONS = 3

const CLUSTER_SLOTS: EncodedCommand = { args: ['CLUSTER', 'SLOTS'] }
const CLUSTER_INFO: EncodedCommand = { args: ['CLUSTER', 'INFO'] }
const ASKING: EncodedCommand = { args: ['ASKING'] }

export class ClusterClient implements RedisClient {
  readonly #options: ClusterOptions
  readonly #nodes = new Map<string, Node>()
  readonly #addresses = new Map<string, HostPort>()
  #map: SlotMap | undefined
  #learntAt = 0
  /** Why the cluster cannot serve although nodes are connected. */
  #down: string | undefined
  #isStale = true
  #learning = false
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#node(options.seed)
    this.#tick(HURRY_MS)
  }

  get connected(): boolean {
    if (this.#map === undefined || this.#down !== undefined) return false
    for (const { link } of this.#nodes.values()) if (link.isUp) return true
    return false
  }

  get since(): number {
    return Math.max(...[...this.#nodes.values()].map(({ link }) => link.since))
  }

  get isDeciding(): boolean {
    const links = [...this.#nodes.values()].map(({ link }) => link)
    // Without a map the client is useless, even if nodes are connected.
    return !this.#map
      ? links.some((link) => link.isDeciding || link.isUp)
      : links.some((link) => link.isDeciding)
  }

  get trouble(): string {
    return this.#down ?? this.#nodes.get(nameOf(this.#options.seed))?.link.trouble ?? 'still connecting'
  }

  get refusal(): string | undefined {
    for (const [name, { link }] of this.#nodes)
      if (link.refusal !== undefined) return `node ${name}: ${link.refusal}`
    return undefined
  }

  /** Of the nodes with slots: a replica that the settings name may be away. */
  get missing(): string | undefined {
    let names: string | undefined
    for (const name of this.#map?.nodes.keys() ?? [])
      if (!this.#nodes.get(name)?.isUp) names = names === undefined ? name : `${names}, ${name}`
    return names
  }

  /** A connected node, for requests that any node can answer. */
  get any(): HostPort {
    for (const [name, { link }] of this.#nodes) if (link.isUp) return this.#addresses.get(name) as HostPort
    return this.#options.seed
  }

  reaches(key: string): boolean {
    return this.#ownerOf(key)?.isUp === true
  }

  keyspaceOf(key: string): string {
    const life = this.#ownerOf(key)?.life
    return life === undefined ? '' : `${life}:`
  }

  async run(operation: RedisOperation): Promise<readonly RedisReply[]> {
    if (!this.connected) throw new Error(`not connected: ${this.trouble}`)
    const { commands } = operation
    const replies = new Array<RedisReply>(commands.length)
    const shares = new Map<string, number[]>()
    commands.forEach(({ key }, place) => {
      const owner = this.#map?.owners[slotOf(key)]
      const share = owner === undefined ? undefined : shares.get(owner)
      if (owner === undefined) replies[place] = new RespError('AWAY no node has the slot')
      else if (share) share.push(place)
      else shares.set(owner, [place])
    })
    await Promise.all(
      [...shares].map(async ([owner, places]) => {
        const share = places.map((place) => commands[place] as RedisCommand)
        const answers = await this.#send(owner, { ...operation, commands: share })
        await Promise.all(
          places.map(async (place, i) => {
            replies[place] = await this.#follow(answers[i] as RedisReply, owner, {
              ...operation,
              commands: [share[i] as RedisCommand],
            })
          }),
        )
      }),
    )
    return replies
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const { link } of this.#nodes.values()) link.close()
  }

  #ownerOf(key: string): Node | undefined {
    const owner = this.#map?.owners[slotOf(key)]
    return owner === undefined ? undefined : this.#nodes.get(owner)
  }

  /** Never rejects: where a node does not answer, each of its commands gets an error as reply. */
  async #send(
    owner: string,
    { commands, ...operation }: RedisOperation,
    isAsking = false,
  ): Promise<readonly RedisReply[]> {
    const node = this.#nodes.get(owner)
    try {
      if (!node) throw new Away('the node has left')
      // ASKING holds for the one command behind it.
      const sent = isAsking ? [ASKING, ...commands] : commands
      const answers = await node.run({ ...operation, start: (send) => send(sent) })
      const replies = isAsking ? answers.slice(1) : answers
      for (const reply of replies) {
        onReply(node.link, reply)
        if (reply instanceof RespError && /^CLUSTERDOWN|^READONLY/.test(reply.message)) this.#hurry()
      }
      return replies
    } catch (error) {
      if (node && !node.link.isUp) this.#hurry()
      const words = `${owner}: ${error instanceof Error ? error.message : String(error)}`
      const failed = new RespError(isAway(error) ? `AWAY ${words}` : words)
      return commands.map(() => failed)
    }
  }

  /** Follows redirections to the node that has the key now. */
  async #follow(first: RedisReply, from: string, operation: RedisOperation): Promise<RedisReply> {
    let reply = first
    let at = from
    for (let turn = 0; turn < MAX_REDIRECTIONS; turn++) {
      if (!(reply instanceof RespError) || !/^(?:MOVED|ASK) /.test(reply.message)) return reply
      const isAsking = reply.code === 'ASK'
      if (!isAsking) this.#hurry()
      const answering = this.#addresses.get(at) ?? this.#options.seed
      const to = readRedirection(reply.message, answering)
      // An unknown node is connected to with the next map.
      if (!to || !this.#nodes.has(nameOf(to))) return reply
      at = nameOf(to)
      reply = (await this.#send(at, operation, isAsking))[0] as RedisReply
    }
    return reply
  }

  #node(address: HostPort): void {
    const name = nameOf(address)
    if (this.#nodes.has(name)) return
    const node: Node = new TierNode(
      this.#options.open(address, (life) => {
        node.life = life
      }),
    )
    this.#nodes.set(name, node)
    this.#addresses.set(name, address)
  }

  #hurry(): void {
    if (this.#isStale) return
    this.#isStale = true
    this.#tick(HURRY_MS)
  }

  #tick(ms: number): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#look(), ms)
    this.#timer.unref()
  }

  async #look(): Promise<void> {
    const isAway = [...(this.#map?.nodes.keys() ?? [])].some((name) => !this.#nodes.get(name)?.link.isUp)
    const isOld = performance.now() - this.#learntAt > MAP_AGE_MS
    if ((this.#isStale || isAway || isOld || this.#down !== undefined) && !this.#learning) {
      this.#learning = true
      await this.#learn()
      this.#learning = false
    }
    this.#tick(this.#map ? TICK_MS : HURRY_MS)
  }

  /** Reads the map from the first node that sees a whole cluster; a node that is cut off from the others sees none. */
  async #learn(): Promise<void> {
    let down: string | undefined
    for (const [name, { link }] of this.#nodes) {
      if (!link.isUp) continue
      try {
        const ms = this.#options.connectTimeout
        const [slots, info] = await link.run({
          what: 'CLUSTER SLOTS',
          ms,
          start: (send) => send([CLUSTER_SLOTS, CLUSTER_INFO]),
        })
        const map = readSlots(slots as RedisReply, this.#addresses.get(name) as HostPort)
        if (!map || map.nodes.size === 0) down = 'no node has any slot'
        else if (!(Buffer.isBuffer(info) && /^cluster_state:ok\s/m.test(info.toString())))
          down = 'the cluster is down (CLUSTERDOWN)'
        else return this.#take(map)
      } catch {
        // The next one may answer.
      }
    }
    this.#down = down ?? this.#down
  }

  #take(map: SlotMap): void {
    const before = this.#map
    this.#map = map
    this.#down = undefined
    this.#isStale = false
    this.#learntAt = performance.now()
    for (const address of map.nodes.values()) this.#node(address)
    const seed = nameOf(this.#options.seed)
    for (const [name, { link }] of this.#nodes) {
      // It had no slots while it was greeted, as a replica has none: it may be in another life by now.
      if (before && map.nodes.has(name) && !before.nodes.has(name)) link.drop('it has taken over')
      if (name === seed || map.nodes.has(name)) continue
      link.close()
      this.#nodes.delete(name)
      this.#addresses.delete(name)
    }
  }
}
