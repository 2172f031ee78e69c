/**
 * Follows the primary of Redis Sentinels. Every Sentinel that the settings name is asked once a second, and at once when one
 * of them says that the primary has changed (`+switch-master`) or when the primary turns out to be none. What they say is
 * weighed in `redis-primary-vote.ts`. While no Sentinel answers, the last known primary stays.
 */
import type { HostPort } from '../../../core/addresses.ts'
import { ConnectionRefused, type ReconnectingConnection } from './reconnecting-connection.ts'
import type { SendCommands } from './redis-connection.ts'
import type { ConnectionCheck } from './redis-node.ts'
import { electPrimary, isAnew, type PrimaryVote, readPrimary } from './redis-primary-vote.ts'
import { type EncodedCommand, type RedisReply, RespError } from './redis-reply.ts'
import { nameOf } from './redis-slots.ts'

export interface SentinelOptions {
  /** The primary's name in the Sentinels' configuration. */
  readonly name: string
  readonly nodes: readonly HostPort[]
  /** Milliseconds for an answer. */
  readonly timeoutMs: number
  /** Opens a connection to one Sentinel; one with `onMessage` subscribes. */
  readonly open: (
    address: HostPort,
    trial: readonly ConnectionCheck[],
    onMessage?: () => void,
  ) => ReconnectingConnection<SendCommands>
}

/** Where the primary is, and connections that go there. */
export interface PrimarySource {
  readonly primary: HostPort | undefined
  readonly isDeciding: boolean
  /** Why the primary is not known. */
  readonly trouble: string
  /** Why the Sentinels refuse us; undefined while they do not, or the primary is known. */
  readonly refusal: string | undefined
  /** Calls `run` after each change of `primary`. Returns what ends that. */
  follow(run: () => void): () => void
  /** Asks the Sentinels again: the primary is none. */
  doubt(): void
  close(): void
}

interface Sentinel {
  readonly asked: ReconnectingConnection<SendCommands>
  readonly heard: ReconnectingConnection<SendCommands>
  vote: PrimaryVote | undefined
  /** What it has said last, also where it does not answer now. */
  last: PrimaryVote | undefined
}

const TICK_MS = 1_000
/** The pause until the primary is known, and after it was doubted. */
const HURRY_MS = 50
const CHANGES = '+switch-master'

/** What mends a refusal of Redis is written in the URL; for Sentinels it is written elsewhere. */
const MENDS = [
  ['correct the URL', 'correct username and password in "sentinel"'],
  ['write redis://user:password@host', 'write username and password into "sentinel"'],
  ['out of the URL', 'out of "sentinel"'],
  ['write redis:// instead of rediss://', 'write "tls: false" into "sentinel"'],
  ['write rediss:// instead of redis://', 'write "tls: true" into "sentinel"'],
  ['in the URL', 'in sentinel.nodes'],
] as const

export class SentinelWatch implements PrimarySource {
  readonly #options: SentinelOptions
  readonly #questions: readonly EncodedCommand[]
  readonly #sentinels: readonly Sentinel[]
  readonly #followers = new Set<() => void>()
  #known: PrimaryVote | undefined
  #timer: NodeJS.Timeout | undefined
  #isAsking = false
  #isDoubted = false
  #closed = false

  constructor(options: SentinelOptions) {
    this.#options = options
    const { name, nodes, open } = options
    this.#questions = ['GET-MASTER-ADDR-BY-NAME', 'MASTER'].map((what) => ({
      args: ['SENTINEL', what, name],
    }))
    const trial = this.#questions.map(({ args }) => ({
      args,
      rejects: (reply: RedisReply) => refusalOf(reply, name),
    }))
    const subscription = {
      args: ['SUBSCRIBE', CHANGES],
      fits: (channels: RedisReply) => channels === 1,
    } as const
    this.#sentinels = nodes.map((node) => ({
      asked: open(node, trial),
      heard: open(node, [subscription], () => this.doubt()),
      vote: undefined,
      last: undefined,
    }))
    this.#tick(HURRY_MS)
  }

  get primary(): HostPort | undefined {
    return this.#known?.address
  }

  get isDeciding(): boolean {
    return this.#sentinels.some(({ asked }) => asked.isDeciding || (asked.isUp && !this.#known))
  }

  get trouble(): string {
    const [first] = this.#options.nodes
    const away = this.#sentinels.find(({ asked }) => !asked.isUp)?.asked.trouble ?? 'it names no primary yet'
    return `no Sentinel says which server is the primary (${first ? nameOf(first) : ''}: ${away})`
  }

  /** One of several that refuses us is not missed. */
  get refusal(): string | undefined {
    if (this.#known) return undefined
    const refusals = this.#sentinels.flatMap(({ asked, heard }) => asked.refusal ?? heard.refusal ?? [])
    const [first] = refusals
    if (first === undefined || refusals.length <= this.#sentinels.length / 2) return undefined
    return `its Sentinels: ${MENDS.reduce((text, [ofRedis, here]) => text.replace(ofRedis, here), first)}`
  }

  follow(run: () => void): () => void {
    this.#followers.add(run)
    return () => void this.#followers.delete(run)
  }

  doubt(): void {
    if (this.#isDoubted) return
    this.#isDoubted = true
    if (!this.#isAsking) this.#tick(HURRY_MS)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const { asked, heard } of this.#sentinels) {
      asked.close()
      heard.close()
    }
  }

  #tick(ms: number): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#ask(), ms)
    this.#timer.unref()
  }

  async #ask(): Promise<void> {
    this.#isAsking = true
    this.#isDoubted = false
    await Promise.all(this.#sentinels.map((sentinel) => this.#hear(sentinel)))
    this.#elect()
    this.#isAsking = false
    this.#tick(this.#known && !this.#isDoubted ? TICK_MS : HURRY_MS)
  }

  /** Answers count once most Sentinels have given theirs: one that is silent must not hold up the others. */
  async #hear(sentinel: Sentinel): Promise<void> {
    const { timeoutMs: ms } = this.#options
    try {
      const start = (send: SendCommands) => send(this.#questions)
      const [named, described] = await sentinel.asked.run({ what: 'SENTINEL', ms, start })
      const vote = readPrimary(named as RedisReply, described as RedisReply)
      sentinel.vote = vote && { ...vote, isAnew: isAnew(vote, sentinel.last) }
      sentinel.last = sentinel.vote ?? sentinel.last
    } catch {
      sentinel.vote = undefined
    }
    if (this.#votes().length > this.#sentinels.length / 2) this.#elect()
  }

  #votes(): PrimaryVote[] {
    return this.#sentinels.flatMap(({ vote }) => vote ?? [])
  }

  #elect(): void {
    const before = this.#known
    const elected = electPrimary(this.#votes(), before, this.#sentinels.length)
    if (this.#closed) return
    this.#known = elected
    // From here on they count as any others.
    if (before && elected && elected.epoch < before.epoch)
      for (const sentinel of this.#sentinels) sentinel.last = undefined
    if (!elected || (before && nameOf(before.address) === nameOf(elected.address))) return
    for (const run of this.#followers) run()
  }
}

/** What a Sentinel that cannot help says, and what mends it. */
function refusalOf(reply: RedisReply, name: string): ConnectionRefused | undefined {
  const message = reply instanceof RespError ? reply.message : undefined
  if (message !== undefined && /^ERR unknown command/i.test(message))
    return new ConnectionRefused('what sentinel.nodes names is no Sentinel (they listen on port 26379)')
  if (reply === null || (message !== undefined && /^ERR No such master/i.test(message)))
    return new ConnectionRefused(
      `they know no primary "${name}"; the host of the url is its name, as in "sentinel monitor NAME …"`,
    )
  return undefined
}
