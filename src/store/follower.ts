/**
 * Follows the source of one model: looks at the store every `pollMs`, fetches versions that are new or have changed, and
 * takes away those that are gone. What is here keeps serving while the store is away, while a version is still being
 * written, and while one cannot be fetched.
 */
import type { Log } from '../core/log.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'
import { Poll } from '../lib/poll.ts'
import { StoreError, type StoreFault } from './error.ts'
import type { LocalFiles } from './local-files.ts'
import type { LocalVersions } from './local-versions.ts'
import type { ModelStore, StoredVersion } from './model-store.ts'

export type FetchOutcome = 'fetched' | StoreFault

export interface SourceFollowerOptions {
  readonly model: string
  readonly store: ModelStore
  readonly files: LocalFiles
  readonly local: LocalVersions
  readonly pollMs: number
  /** Longest time that a look at the versions may take. */
  readonly lookMs: number
  /** Longest time that the fetch of one file may take. */
  readonly fetchMs: number
  readonly clock: Clock
  readonly log: Log
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Called once, as soon as there is a version to serve. */
  readonly ready: () => void
  /** Called for each look and each fetch that ended. */
  readonly counted: (what: 'look' | 'fetch', outcome: FetchOutcome | 'ok') => void
}

/** A version that could not be fetched. */
interface Failure {
  readonly mark: string
  readonly times: number
  readonly reason: string
  /** Of the clock: not before that. */
  readonly againAt: number
}

const PROGRESS_MS = 10_000
/** Longest pause before a file that failed is fetched again. */
const MAX_PAUSE_MS = 5 * 60_000
const MAX_REASON = 300

export class SourceFollower {
  readonly #options: SourceFollowerOptions
  readonly #poll: Poll
  readonly #stop = new AbortController()
  readonly #failures = new Map<string, Failure>()
  #isReady = false
  /** Why the store could not be looked at, until it can. */
  #away: string | undefined
  #isEmpty = false
  /** The round that runs. */
  #round: Promise<void> = Promise.resolve()

  constructor(options: SourceFollowerOptions) {
    this.#options = options
    const { clock, pollMs } = options
    const run = () => {
      this.#round = this.#look()
      return this.#round
    }
    this.#poll = new Poll({ clock, ms: pollMs, run, failed: (error) => this.#noteBroken(error) })
  }

  /** Serves what was fetched before, then looks at once and goes on looking. */
  start(): void {
    this.#round = this.#begin()
    void this.#round
      .catch((error: unknown) => this.#noteBroken(error))
      .finally(() => {
        if (!this.#stop.signal.aborted) this.#poll.start()
      })
  }

  /** Ends what runs; resolves when it has ended and the store is closed. */
  async stop(): Promise<void> {
    this.#stop.abort(new StoreError('unreachable', 'the gateway is going down'))
    this.#poll.stop()
    await this.#round.catch(() => {})
    await this.#options.store.close()
  }

  get isAway(): boolean {
    return this.#away !== undefined
  }

  /** What keeps versions from being fetched, in a few words; undefined: nothing. */
  problem(): string | undefined {
    const held = this.#options.local.isEmpty ? 'nothing was fetched yet' : 'what was fetched serves'
    if (this.#away !== undefined) return `its store is away, ${held}: ${this.#away}`
    if (this.#isEmpty) return `its store has no version, ${held}`
    const [failed] = this.#failures
    return failed && `version ${failed[0]} was not fetched, ${held}: ${failed[1].reason}`
  }

  async #begin(): Promise<void> {
    await this.#options.local.open()
    this.#tellReady()
    await this.#look()
  }

  async #look(): Promise<void> {
    const { store, local, files, lookMs, counted } = this.#options
    await local.touch()
    let found: StoredVersion[]
    try {
      found = await store.versions(local.marks(), this.#within(lookMs))
    } catch (error) {
      counted('look', faultOf(error))
      return this.#noteAway(reasonOf(error))
    }
    counted('look', 'ok')
    this.#noteBack()
    this.#noteEmpty(found.length === 0)
    for (const stored of found) await this.#update(stored)
    this.#forget(found)
    if (await this.#takeAway(found)) await files.sweep()
  }

  /** Fetches a version unless it is here already, or has failed too recently. */
  async #update(stored: StoredVersion): Promise<void> {
    const { local, clock } = this.#options
    const { version, mark } = stored
    if (this.#stop.signal.aborted || local.marks().get(version) === mark) return
    const failure = this.#failures.get(version)
    if (failure?.mark === mark && clock.now() < failure.againAt) return
    try {
      await this.#fetch(stored)
      this.#failures.delete(version)
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#noteFailure(stored, error)
    }
  }

  async #fetch(stored: StoredVersion): Promise<void> {
    const { store, files, local, fetchMs, model, log, clock, counted } = this.#options
    const { version, mark } = stored
    const began = clock.now()
    let toldAt = began
    const download = await store.open(stored, this.#within(fetchMs))
    const { length } = download
    const { digest, bytes } = await files.add(download, (sofar) => {
      if (clock.now() - toldAt < PROGRESS_MS) return
      toldAt = clock.now()
      log.info('store.fetching', { model, version, bytes: sofar, of: length })
    })
    await local.put(version, { mark, digest })
    const ms = Math.round(clock.now() - began)
    log.info('store.fetched', { model, version, bytes, ms, digest: `sha256:${digest}` })
    counted('fetch', 'fetched')
    this.#tellReady()
  }

  /**
   * Takes away what is not there any more; returns whether there was any. An empty listing takes nothing away, nor does
   * one of which nothing could be fetched: then the model would have no version at all.
   */
  async #takeAway(found: readonly StoredVersion[]): Promise<boolean> {
    const { local, model, log } = this.#options
    const here = [...local.marks().keys()]
    const there = new Set(found.map(({ version }) => version))
    if (!here.some((version) => there.has(version))) return false
    const gone = here.filter((version) => !there.has(version))
    for (const version of gone) {
      await local.remove(version)
      log.info('store.removed', { model, version })
    }
    return gone.length > 0
  }

  /** Failures of versions that are not there any more. */
  #forget(found: readonly StoredVersion[]): void {
    const there = new Set(found.map(({ version }) => version))
    for (const version of this.#failures.keys()) if (!there.has(version)) this.#failures.delete(version)
  }

  /** A file that is being written is tried at each look; others after growing pauses. */
  #noteFailure({ version, mark }: StoredVersion, error: unknown): void {
    const { model, log, clock, random, pollMs, counted } = this.#options
    const before = this.#failures.get(version)
    const times = before?.mark === mark ? before.times + 1 : 1
    const fault = faultOf(error)
    const reason = reasonOf(error)
    const pause =
      fault === 'incomplete' ? 0 : backoffMs(times - 1, { baseMs: pollMs, maxMs: MAX_PAUSE_MS, random })
    this.#failures.set(version, { mark, times, reason, againAt: clock.now() + pause })
    counted('fetch', fault)
    if (before?.reason !== reason) log.warn('store.unfetched', { model, version, fault, reason })
  }

  /** The folder of this machine failed in the middle of a look. */
  #noteBroken(error: unknown): void {
    const { model, log, counted } = this.#options
    counted('look', faultOf(error))
    log.error('store.failed', { model, reason: reasonOf(error) })
  }

  #noteAway(reason: string): void {
    const { model, log } = this.#options
    if (this.#away === undefined && !this.#stop.signal.aborted) log.warn('store.away', { model, reason })
    this.#away = reason
  }

  #noteBack(): void {
    const { model, log } = this.#options
    if (this.#away !== undefined) log.info('store.back', { model })
    this.#away = undefined
  }

  #noteEmpty(isEmpty: boolean): void {
    const { model, log } = this.#options
    if (isEmpty && !this.#isEmpty) log.warn('store.empty', { model })
    this.#isEmpty = isEmpty
  }

  #tellReady(): void {
    if (this.#isReady || this.#options.local.isEmpty || this.#stop.signal.aborted) return
    this.#isReady = true
    this.#options.ready()
  }

  #within(ms: number): AbortSignal {
    return AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ms)])
  }
}

const faultOf = (error: unknown): StoreFault => (error instanceof StoreError ? error.fault : 'local')

const reasonOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).slice(0, MAX_REASON)
