/**
 * Reloads the settings: notices that the file has changed, has it read, and applies or refuses it as a whole. A refused
 * file changes nothing but the message on /readyz.
 *
 * The file is looked at twice a second, through symbolic links, since editors and Kubernetes replace it. A watch would have to be on its folder,
 * is not reliable on network and container file systems, and wakes the gateway for each line of a log that is written
 * beside the file. The digest of the bytes decides whether it has changed.
 */
import { stat } from 'node:fs/promises'
import { digestOf } from '../core/key.ts'
import type { Log } from '../core/log.ts'
import type { Clock } from '../lib/clock.ts'
import { readRegular, UnreadableError } from '../lib/regular-file.ts'

export type ReloadResult<S> = { readonly settings: S } | { readonly problems: readonly string[] }

export interface ReloadOptions<S> {
  readonly file: string
  readonly clock: Clock
  readonly log: Log
  /** The settings in force at the start. */
  readonly settings: S
  load(): Promise<ReloadResult<S>>
  /** Names of the settings that differ from those at the start and need a restart. */
  needRestart(started: S, next: S): readonly string[]
  /** Names of the settings that differ, for the log. */
  changed(present: S, next: S): readonly string[]
  /** Applies what can change live. An error refuses the file; the settings in force stay. */
  apply(next: S, present: S): void | Promise<void>
  /** Called when a file was refused. */
  readonly refused?: () => void
  readonly pollMs?: number
}

const POLL_MS = 500
/** Bound for reading; the loader has a lower one of its own. */
const MAX_BYTES = 16 * 1024 * 1024
/** Writers that truncate and then write are given this long to finish. */
const SETTLE_MS = 50

export class Reload<S> {
  readonly #options: ReloadOptions<S>
  #present: S
  #problem: string | undefined
  #waiting: readonly string[] = []
  #digest: string | undefined
  #stamp = ''
  #cancelPoll: (() => void) | undefined
  #cancelSettle: (() => void) | undefined
  #queue: Promise<void> = Promise.resolve()
  #stopped = false
  readonly #onSighup = (): void => void this.check({ force: true })

  constructor(options: ReloadOptions<S>) {
    this.#options = options
    this.#present = options.settings
  }

  /** The settings in force. */
  get settings(): S {
    return this.#present
  }

  /** Messages for /readyz, which stays 200: a refused file, and settings that wait for a restart. */
  get reasons(): readonly string[] {
    const refused = this.#problem === undefined ? [] : [`config: refused reload: ${this.#problem}`]
    const waiting = this.#waiting.length === 0 ? [] : [`config: needs a restart: ${this.#waiting.join(', ')}`]
    return [...refused, ...waiting]
  }

  /** Begins to look at the file and to listen for SIGHUP, which reads it again even when it did not change. */
  async start(): Promise<void> {
    this.#stamp = await this.#fingerprint()
    this.#digest = await this.#read()
    if (this.#stopped) return
    process.on('SIGHUP', this.#onSighup)
    this.#poll()
  }

  stop(): void {
    this.#stopped = true
    process.off('SIGHUP', this.#onSighup)
    this.#cancelPoll?.()
    this.#cancelSettle?.()
  }

  /** Reads the file now, after any reading under way, and takes it over if it changed. Never rejects. */
  check(options: { force?: boolean } = {}): Promise<void> {
    this.#queue = this.#queue
      .then(() => this.#check(options.force ?? false))
      .catch((error: unknown) => {
        this.#refuse([String(error)])
      })
    return this.#queue
  }

  async #check(force: boolean): Promise<void> {
    if (this.#stopped) return
    const digest = await this.#read()
    // A missing file is being replaced; the poll sees it when it is back.
    if (!force && (digest === undefined || digest === this.#digest)) return
    this.#digest = digest
    const loaded = await this.#options.load()
    if (this.#stopped) return
    if ('problems' in loaded) this.#refuse(loaded.problems)
    else await this.#take(loaded.settings)
  }

  async #take(next: S): Promise<void> {
    const { apply, changed, needRestart, log, file } = this.#options
    const present = this.#present
    try {
      await apply(next, present)
    } catch (error) {
      return this.#refuse([error instanceof Error ? error.message : String(error)])
    }
    this.#present = next
    this.#problem = undefined
    this.#waiting = needRestart(this.#options.settings, next)
    log.info('config.reloaded', { file, changed: changed(present, next), needRestart: this.#waiting })
  }

  #refuse(problems: readonly string[]): void {
    const [first = 'no reason given', ...more] = problems
    this.#problem = more.length === 0 ? first : `${first} (and ${more.length} more)`
    this.#options.refused?.()
    this.#options.log.error('config.refused', { file: this.#options.file, problems: problems.slice(0, 20) })
  }

  #settle(): void {
    this.#cancelSettle ??= this.#options.clock.after(SETTLE_MS, () => {
      this.#cancelSettle = undefined
      void this.check()
    })
  }

  #poll(): void {
    const pollMs = this.#options.pollMs ?? POLL_MS
    this.#cancelPoll = this.#options.clock.after(pollMs, () => void this.#compareStamp())
  }

  async #compareStamp(): Promise<void> {
    const stamp = await this.#fingerprint()
    if (this.#stopped) return
    if (stamp !== this.#stamp) {
      this.#stamp = stamp
      this.#settle()
    }
    this.#poll()
  }

  /** Changes whenever the file does, as far as the file system says; follows symlinks. */
  async #fingerprint(): Promise<string> {
    try {
      const { dev, ino, size, mtimeNs } = await stat(this.#options.file, { bigint: true })
      return [dev, ino, size, mtimeNs].join()
    } catch {
      return ''
    }
  }

  /**
   * Undefined where there is no file. A folder or a pipe in its place counts as a change: loading reports what is
   * wrong.
   */
  async #read(): Promise<string | undefined> {
    try {
      return digestOf(await readRegular(this.#options.file, MAX_BYTES))
    } catch (error) {
      return error instanceof UnreadableError ? error.message : undefined
    }
  }
}
