/**
 * The key set of one issuer, from a URL or a file. That from a URL is fetched in the background, again every few minutes, and
 * when a token names a key that is not in it; not more often than every five seconds, whatever comes. What was read stays
 * when it can no longer be read.
 */
import { backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import { fetchWhole } from '../discovery/request.ts'
import { type Jwk, readJwkSet } from './jwk-set.ts'
import { WatchedFile } from './watched-file.ts'

export interface KeySetOptions {
  /** A URL, or the path of a file. */
  readonly place: string
  readonly clock: Clock
  readonly random: () => number
  readonly changed: (keys: readonly Jwk[]) => void
  /** Called once for each problem. */
  readonly failed: (problem: string) => void
}

export interface KeySet {
  /** Why it could not be read the last time; undefined: it could. */
  readonly problem: string | undefined
  /** Resolves at once for a URL; rejects where a file cannot be read. */
  start(): Promise<void>
  stop(): void
  /** A key is missing. Resolves when the set was read again, or at once if it was read just before. Never rejects. */
  refresh(): Promise<void>
}

const MAX_BYTES = 256 * 1024
const FETCH_MS = 5_000
const REFRESH_MS = 300_000
const COOLDOWN_MS = 5_000
const RETRY = { baseMs: 5_000, maxMs: 120_000 }

export function openKeySet(options: KeySetOptions): KeySet {
  return /^https?:\/\//i.test(options.place) ? new FetchedKeySet(options) : fileKeySet(options)
}

function fileKeySet({ place, clock, changed, failed }: KeySetOptions): KeySet {
  const take = (text: string) => changed(readJwkSet(text))
  const file = new WatchedFile({ path: place, maxBytes: MAX_BYTES, clock, take, failed })
  return {
    get problem() {
      return file.problem
    },
    start: () => file.start(),
    stop: () => file.stop(),
    // A new key is there within a second of its being written.
    refresh: async () => {},
  }
}

class FetchedKeySet implements KeySet {
  problem: string | undefined = 'not read yet'
  readonly #options: KeySetOptions
  readonly #stopping = new AbortController()
  #cancel: (() => void) | undefined
  #running: Promise<void> | undefined
  #fetchedAt = Number.NEGATIVE_INFINITY
  #failures = 0

  constructor(options: KeySetOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    void this.#fetch()
  }

  stop(): void {
    this.#stopping.abort()
    this.#cancel?.()
  }

  async refresh(): Promise<void> {
    if (this.#options.clock.now() - this.#fetchedAt >= COOLDOWN_MS) await this.#fetch()
    else await this.#running
  }

  #fetch(): Promise<void> {
    this.#running ??= this.#read().finally(() => {
      this.#running = undefined
      this.#plan()
    })
    return this.#running
  }

  async #read(): Promise<void> {
    const { place: url, clock, changed, failed } = this.#options
    this.#fetchedAt = clock.now()
    try {
      const { signal } = this.#stopping
      const request = { url, headers: { accept: 'application/json' }, timeoutMs: FETCH_MS, signal }
      const { status, body } = await fetchWhole({ ...request, maxBytes: MAX_BYTES })
      if (status !== 200) throw new Error(`the answer has the status ${status}`)
      changed(readJwkSet(body))
      this.#failures = 0
      this.problem = undefined
    } catch (error) {
      this.#failures++
      const problem = error instanceof Error ? error.message : String(error)
      if (problem !== this.problem && !this.#stopping.signal.aborted) failed(problem)
      this.problem = problem
    }
  }

  #plan(): void {
    if (this.#stopping.signal.aborted) return
    const { clock, random } = this.#options
    const ms = this.#failures === 0 ? REFRESH_MS : backoffMs(this.#failures - 1, { ...RETRY, random })
    this.#cancel?.()
    this.#cancel = clock.after(ms, () => void this.#fetch())
  }
}
