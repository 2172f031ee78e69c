/**
 * Merges the snapshots of a pool's sources into one list for the registry. A backend that one source leaves out may be
 * named by another; one that no source names is drained and removed. An empty snapshot after a full one is more often
 * an error than true, so it counts only after it was confirmed twice.
 */
import { mainAddress } from '../../core/backend.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import type { FoundBackend } from '../registry/registration.ts'
import type { DiscoverySource, Snapshot } from './source.ts'

export interface MergeOptions {
  readonly pool: string
  readonly clock: Clock
  readonly log: Log
  /** Called with each new list. */
  readonly apply: (found: readonly FoundBackend[]) => void
}

const CONFIRMATIONS = 2
const CONFIRM_MS = 1000

interface Feed {
  readonly source: DiscoverySource
  /** Undefined before the first snapshot. */
  snapshot: Snapshot | undefined
  /** Empty snapshots in a row. */
  empty: number
  cancel: (() => void) | undefined
}

export class Merge {
  readonly #options: MergeOptions
  readonly #feeds = new Map<string, Feed>()

  constructor(options: MergeOptions) {
    this.#options = options
  }

  /**
   * Replaces the sources, by key: one whose key stays continues, a new one is made and started. Backends of a removed
   * source are removed unless another source names them.
   */
  follow(wanted: ReadonlyMap<string, () => DiscoverySource>): void {
    let lost = false
    for (const [key, feed] of this.#feeds) {
      if (wanted.has(key)) continue
      this.#end(feed)
      this.#feeds.delete(key)
      lost ||= feed.snapshot !== undefined
    }
    for (const [key, make] of wanted) {
      if (this.#feeds.has(key)) continue
      const feed: Feed = { source: make(), snapshot: undefined, empty: 0, cancel: undefined }
      this.#feeds.set(key, feed)
      feed.source.start((snapshot) => this.#take(feed, snapshot))
    }
    if (lost) this.#apply()
  }

  stop(): void {
    for (const feed of this.#feeds.values()) this.#end(feed)
    this.#feeds.clear()
  }

  #take(feed: Feed, snapshot: Snapshot): void {
    if (snapshot.length === 0 && feed.snapshot && feed.snapshot.length > 0) {
      if (feed.empty < CONFIRMATIONS) return this.#doubt(feed)
    }
    feed.cancel?.()
    feed.cancel = undefined
    feed.empty = 0
    feed.snapshot = snapshot
    this.#apply()
  }

  #doubt(feed: Feed): void {
    const { clock, log, pool } = this.#options
    // Snapshots that arrive together count as one and do not confirm each other.
    if (feed.cancel) return
    feed.empty++
    if (feed.empty === 1) log.warn('discovery.empty', { pool, source: feed.source.name })
    feed.cancel = clock.after(CONFIRM_MS, () => {
      feed.cancel = undefined
      feed.source.refresh()
    })
  }

  #apply(): void {
    const found = new Map<string, FoundBackend>()
    for (const { source, snapshot } of this.#feeds.values()) {
      for (const backend of snapshot ?? []) {
        // The first source that names an address describes it.
        const address = mainAddress(backend)
        if (!found.has(address)) {
          found.set(address, { ...backend, labels: { source: source.name, ...backend.labels } })
        }
      }
    }
    this.#options.apply([...found.values()])
  }

  #end(feed: Feed): void {
    feed.cancel?.()
    feed.source.stop()
  }
}
