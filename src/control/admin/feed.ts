/**
 * Keeps the followers of the events up to date while there are any: looks at the state of the gateway twice a second and
 * at the counts of its workers every second, once for all of them, and tells what has changed. Whoever comes later is told the newest
 * event of each kind and name first.
 */
import type { LiveEvent } from '../../core/live.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { encodeEvent } from '../../lib/sse.ts'
import type { LiveSource } from './contract.ts'
import type { EncodedEvent } from './events.ts'

const STATE_MS = 500
const COUNTS_EVERY = 2

export interface LiveFeedOptions {
  readonly clock: Clock
  readonly log: Log
  readonly live: LiveSource
  /** Sends to all followers, and says whether there are any. */
  readonly send: (events: readonly EncodedEvent[]) => boolean
}

/** Kinds that are collected at different times: an event that a later look at its kinds does not have is gone. */
type Source = 'state' | 'counts'

interface Told extends EncodedEvent {
  readonly source: Source
  readonly event: string
  readonly name: string | undefined
}

export class LiveFeed {
  readonly #options: LiveFeedOptions
  readonly #told = new Map<string, Told>()
  #cancel: (() => void) | undefined
  #unfollow: (() => void) | undefined
  #ticks = 0
  #isCollecting = false

  constructor(options: LiveFeedOptions) {
    this.#options = options
  }

  /** What a new follower is told first. From then on the others are told what changes. */
  present(): readonly EncodedEvent[] {
    const { live } = this.#options
    if (!this.#cancel) this.#start()
    const lines = live.past().map((line) => ({ text: logged(line) }))
    return [...this.#told.values(), ...lines]
  }

  close(): void {
    this.#cancel?.()
    this.#unfollow?.()
    this.#cancel = undefined
    this.#unfollow = undefined
    this.#told.clear()
  }

  #start(): void {
    const { live, send } = this.#options
    this.#ticks = 0
    this.#unfollow = live.follow((line) => void send([{ text: logged(line) }]))
    this.#changes('state', live.state())
    void this.#collect()
    this.#later()
  }

  #later(): void {
    this.#cancel = this.#options.clock.after(STATE_MS, () => this.#tick())
  }

  #tick(): void {
    const { live, send } = this.#options
    if (!send(this.#changes('state', live.state()))) return this.close()
    if (++this.#ticks % COUNTS_EVERY === 0) void this.#collect()
    this.#later()
  }

  /** A worker that does not answer delays the counts, and not the state. */
  async #collect(): Promise<void> {
    if (this.#isCollecting) return
    this.#isCollecting = true
    try {
      const counts = await this.#options.live.counts()
      if (this.#cancel) this.#options.send(this.#changes('counts', counts))
    } catch (error) {
      this.#options.log.warn('admin.events.counts', { error: String(error) })
    } finally {
      this.#isCollecting = false
    }
  }

  #changes(source: Source, events: readonly LiveEvent[]): readonly EncodedEvent[] {
    const changed: EncodedEvent[] = []
    const seen = new Set<string>()
    for (const { event, name, data, scope } of events) {
      const key = `${event} ${name ?? ''}`
      seen.add(key)
      const text = encodeEvent({ event, data })
      if (this.#told.get(key)?.text === text) continue
      const told = { source, event, name, text, ...(scope ? { scope } : {}) }
      this.#told.set(key, told)
      changed.push(told)
    }
    for (const [key, told] of this.#told) {
      if (told.source !== source || seen.has(key)) continue
      this.#told.delete(key)
      const { event, name, scope } = told
      const text = encodeEvent({ event: 'gone', data: { event, name } })
      changed.push({ text, ...(scope ? { scope } : {}) })
    }
    return changed
  }
}

function logged(line: string): string {
  return `event: log\ndata: ${line}\n\n`
}
