/**
 * Purges single answers by their keys. A key is a digest, so no epoch for that key alone can be part of it. The answer is
 * deleted instead, and the other gateways are told: they may have it in memory, and a fill of theirs may be about to
 * write it again.
 *
 * The purges of the last seconds are one shared fact, a list. There is no compare-and-set, so of two gateways that add to
 * it at once the second undoes the first. Each gateway therefore checks whether its own keys are still listed, and adds
 * them again. A gateway that reads a new key forgets that answer, bars the key and deletes it once more.
 */
import { randomBytes } from 'node:crypto'
import { type Digest, parseDigest, printable } from '../../core/key.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { Poll } from '../../lib/poll.ts'
import type { FactStore } from './epochs.ts'

export interface PurgedKeysOptions {
  /** Undefined: this process is alone. */
  readonly shared: FactStore | undefined
  readonly clock: Clock
  readonly log: Log
  /** Makes the answer unreachable here; resolves false where a shared tier could not be told. Never rejects. */
  readonly forget: (digest: Digest) => Promise<boolean>
  /** Called with each purge that gateways share, before it is done; false where they could not be told. */
  readonly purged: () => Promise<boolean>
  /** Called where too many keys are purged at a time to be listed: everything is to become unreachable. */
  readonly overflow: () => Promise<unknown>
}

interface Purged {
  readonly digest: Digest
  /** Monotonic milliseconds. */
  readonly seenAt: number
  /** It has been deleted from the shared tiers. */
  isGone: boolean
}

const FACT = 'purged-keys'
const POLL_MS = 1000
/**
 * How long a purge stays listed. Every gateway polls each second; one that cannot ask the tier cannot write to it either.
 * It stays longer where the key could not be deleted: its server is away, and may come back with the answer.
 */
const LISTED_MS = 15_000
const MAX_KEYS = 1024

export class PurgedKeys {
  readonly #options: PurgedKeysOptions
  /** By purge, not by key: the same key may be purged again. */
  readonly #purged = new Map<string, Purged>()
  readonly #poll: Poll

  constructor(options: PurgedKeysOptions) {
    this.#options = options
    const { clock } = options
    this.#poll = new Poll({
      clock,
      ms: POLL_MS,
      run: () => this.poll(),
      failed: (error) => this.#failed(error),
    })
  }

  /** Reads at once what was purged before. */
  start(): void {
    this.#poll.start()
    void this.poll().catch((error: unknown) => this.#failed(error))
  }

  stop(): void {
    this.#poll.stop()
  }

  /** Makes one answer unreachable, here at once. False where other gateways or tiers could not be told yet. */
  async purge(digest: Digest): Promise<boolean> {
    const { shared, forget, overflow, purged } = this.#options
    if (!shared) return forget(digest)
    if (this.#recent().length >= MAX_KEYS) {
      await forget(digest)
      await overflow()
      return true
    }
    const [isGone, isPublished] = await Promise.all([this.#apply(unique(), digest), this.#sync()])
    return (await purged()) && isGone && isPublished
  }

  /** Adopts the purges of other gateways, and publishes those of this one. False: they cannot be asked. */
  async poll(): Promise<boolean> {
    const late = [...this.#purged.values()].filter(({ isGone }) => !isGone)
    await Promise.all(
      late.map(async (purged) => {
        purged.isGone = await this.#options.forget(purged.digest)
      }),
    )
    return this.#sync()
  }

  /** Reads the list and adds what is missing from it. */
  async #sync(): Promise<boolean> {
    const { shared } = this.#options
    const facts = await shared?.facts([FACT])
    if (!facts) return false
    const listed = parse(facts[0] ?? '')
    await Promise.all(
      [...listed].filter(([id]) => !this.#purged.has(id)).map(([id, digest]) => this.#apply(id, digest)),
    )
    const recent = this.#recent()
    const kept = new Set(recent.map(([id]) => id))
    // A key that is still listed would look new if it were forgotten here.
    for (const [id, { isGone }] of this.#purged)
      if (isGone && !kept.has(id) && !listed.has(id)) this.#purged.delete(id)
    if (recent.every(([id]) => listed.has(id))) return true
    const list = recent.slice(-MAX_KEYS).map(([id, { digest }]) => `${id}:${printable(digest)}`)
    return (await shared?.publish(FACT, list.join(' '))) ?? true
  }

  #failed(error: unknown): void {
    this.#options.log.warn('purged-keys.poll', { error: String(error) })
  }

  #recent(): [string, Purged][] {
    const now = this.#options.clock.now()
    return [...this.#purged].filter(([, { seenAt, isGone }]) => now - seenAt < LISTED_MS || !isGone)
  }

  async #apply(id: string, digest: Digest): Promise<boolean> {
    const purged: Purged = { digest, seenAt: this.#options.clock.now(), isGone: false }
    this.#purged.set(id, purged)
    purged.isGone = await this.#options.forget(digest)
    return purged.isGone
  }
}

function unique(): string {
  return randomBytes(9).toString('base64url')
}

/** Text that is no such list counts as an empty one. */
function parse(list: string): ReadonlyMap<string, Digest> {
  const found = new Map<string, Digest>()
  for (const item of list.split(' ', 2 * MAX_KEYS)) {
    const [id = '', key = ''] = item.split(':', 2)
    const digest = parseDigest(key)
    if (digest && /^[A-Za-z0-9_-]{12}$/.test(id)) found.set(id, digest)
  }
  return found
}
