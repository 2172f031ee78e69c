/**
 * A file that is read again whenever it changes. Its stamp is looked at every second, since no notification is reliable on
 * network and container file systems.
 */
import { stat } from 'node:fs/promises'
import type { Clock } from '../../lib/clock.ts'
import { Poll } from '../../lib/poll.ts'
import { readRegular } from '../../lib/regular-file.ts'

export interface WatchedFileOptions {
  readonly path: string
  readonly maxBytes: number
  readonly clock: Clock
  /**
   * Takes the text over. What it throws is a problem of the file: what was taken before stays. `signal`: the file is not
   * followed any more.
   */
  readonly take: (text: string, signal: AbortSignal) => void | Promise<void>
  /** Called when a change could not be taken over, once for each problem. */
  readonly failed: (problem: string) => void
}

const LOOK_MS = 1_000
/** How long a text that was refused is not read again: that may have taken half a minute. */
const RETRY_MS = 60_000

export class WatchedFile {
  /** Why its present text was not taken over; undefined: it was. */
  problem: string | undefined
  readonly #options: WatchedFileOptions
  readonly #poll: Poll
  readonly #stopping = new AbortController()
  #stamp = ''
  /** The text that was refused last, and until when it is left alone. */
  #refused = { stamp: '', until: 0 }

  constructor(options: WatchedFileOptions) {
    this.#options = options
    this.#poll = new Poll({
      clock: options.clock,
      ms: LOOK_MS,
      run: () => this.#look(),
      failed: (error) => this.#failed(error),
    })
  }

  /** Reads the file, and watches it from then on. Rejects where it cannot be taken over. */
  async start(): Promise<void> {
    await this.#read(await this.#stampNow())
    this.#poll.start()
  }

  stop(): void {
    this.#poll.stop()
    this.#stopping.abort()
  }

  async #look(): Promise<void> {
    const stamp = await this.#stampNow()
    const { clock } = this.#options
    if (stamp === this.#refused.stamp && clock.now() < this.#refused.until) return
    // Also where it was away and is back as it was.
    if (stamp !== this.#stamp) await this.#read(stamp)
    this.problem = undefined
  }

  /** `stamp`: from before, so that a text that was read while it was being written is read again. */
  async #read(stamp: string): Promise<void> {
    const { path, maxBytes, take, clock } = this.#options
    const text = (await readRegular(path, maxBytes)).toString('utf8')
    this.#refused = { stamp, until: clock.now() + RETRY_MS }
    await take(text, this.#stopping.signal)
    this.#refused.stamp = ''
    this.#stamp = stamp
  }

  #failed(error: unknown): void {
    if (this.#stopping.signal.aborted) return
    const problem = error instanceof Error ? error.message : String(error)
    if (problem !== this.problem) this.#options.failed(problem)
    this.problem = problem
  }

  async #stampNow(): Promise<string> {
    const { dev, ino, size, mtimeNs } = await stat(this.#options.path, { bigint: true })
    return [dev, ino, size, mtimeNs].join()
  }
}
