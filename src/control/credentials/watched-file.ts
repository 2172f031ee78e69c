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
  /** Takes the text over. What it throws is a problem of the file: what was taken before stays. */
  readonly take: (text: string) => void
  /** Called when a change could not be taken over, once for each problem. */
  readonly failed: (problem: string) => void
}

const LOOK_MS = 1_000

export class WatchedFile {
  /** Why its present text was not taken over; undefined: it was. */
  problem: string | undefined
  readonly #options: WatchedFileOptions
  readonly #poll: Poll
  #stamp = ''

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
    this.#stamp = await this.#stampNow()
    await this.#read()
    this.#poll.start()
  }

  stop(): void {
    this.#poll.stop()
  }

  async #look(): Promise<void> {
    const stamp = await this.#stampNow()
    if (stamp === this.#stamp) return
    await this.#read()
    // Only now: a text that was read while it was being written is read again.
    this.#stamp = stamp
    this.problem = undefined
  }

  async #read(): Promise<void> {
    const { path, maxBytes, take } = this.#options
    take((await readRegular(path, maxBytes)).toString('utf8'))
  }

  #failed(error: unknown): void {
    const problem = error instanceof Error ? error.message : String(error)
    if (problem !== this.problem) this.#options.failed(problem)
    this.problem = problem
  }

  async #stampNow(): Promise<string> {
    const { dev, ino, size, mtimeNs } = await stat(this.#options.path, { bigint: true })
    return [dev, ino, size, mtimeNs].join()
  }
}
