/**
 * The place of one data worker: a thread, the link to it, and another thread when it has ended. A worker that ends takes
 * the calls it had with it and no others; the next one comes after a pause that grows while they keep ending.
 */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Endpoint } from '../core/addresses.ts'
import type { Log } from '../core/log.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'
import { Link } from './link.ts'
import type { ToControl, ToWorker, WorkerStart } from './messages.ts'

export type Down = Link<ToWorker, ToControl>
type Offers = Parameters<Down['offer']>[0]

export interface WorkerPlaceParts {
  readonly start: WorkerStart
  /** What the worker may ask and tell. */
  readonly offers: Offers
  /** Tells a new worker what the first ones were told since the start. */
  readonly brief: (link: Down) => void
  /** Clears what an ended worker has left, before another one comes. */
  readonly bury: () => void
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  /** What a thread runs; given by tests. */
  readonly entry?: URL
}

const ENTRY = new URL(`./worker-thread${extname(import.meta.filename)}`, import.meta.url)
/** A thread compiles all its code first, which takes long where the machine has other work. */
const LISTEN_MS = 60_000
/** Whoever lived so long did not fail at the start. */
const STABLE_MS = 30_000
const BACKOFF = { baseMs: 100, maxMs: 10_000 }

export class WorkerPlace {
  readonly number: number
  isListening = false
  link: Down
  readonly #parts: WorkerPlaceParts
  #thread: Worker
  #gone = Promise.resolve()
  #at: Endpoint | undefined
  #bornAt = 0
  #failures = 0
  #isClosing = false
  #cancelNext = () => {}

  constructor(parts: WorkerPlaceParts) {
    this.number = parts.start.worker
    this.#parts = parts
    ;[this.#thread, this.link] = this.#spawn()
  }

  /** Rejects with the listener's error, and with what the thread ended of. */
  async listen(at: Endpoint): Promise<Endpoint> {
    const opened = await this.link.ask('listen', at, LISTEN_MS)
    this.#at = opened
    this.isListening = true
    return opened
  }

  /** No other thread comes when this one ends, and one that does not listen yet never will. */
  retire(): void {
    this.#isClosing = true
    this.#cancelNext()
    if (this.#at && !this.isListening) void this.#thread.terminate()
  }

  /** Ends the thread; whoever wants it to end in peace asks it before. */
  async close(): Promise<void> {
    this.retire()
    await this.#thread.terminate()
    await this.#gone
  }

  #spawn(): [Worker, Down] {
    const { start, clock, offers, brief } = this.#parts
    const thread = new Worker(this.#parts.entry ?? ENTRY, {
      workerData: start,
      name: `worker ${start.worker}`,
    })
    const link: Down = new Link(thread, clock)
    let cause: unknown
    thread.on('error', (error) => {
      cause = error
    })
    const ended = Promise.withResolvers<void>()
    this.#gone = ended.promise
    thread.once('exit', (code) => {
      this.#ended({ code, cause }, link)
      ended.resolve()
    })
    this.#bornAt = clock.now()
    link.offer(offers)
    brief(link)
    return [thread, link]
  }

  #ended({ code, cause }: { readonly code: number; readonly cause: unknown }, link: Down): void {
    const { clock, log, random, bury } = this.#parts
    const error = cause instanceof Error ? cause : new Error(`data worker ${this.number} ended with ${code}`)
    this.isListening = false
    bury()
    link.end(error)
    // One that never listened is the start's to tell of.
    if (this.#isClosing || !this.#at) return
    if (clock.now() - this.#bornAt >= STABLE_MS) this.#failures = 0
    const restartMs = Math.round(backoffMs(this.#failures++, { ...BACKOFF, random }))
    log.error('worker.exit', { worker: this.number, code, error: error.stack ?? error.message, restartMs })
    this.#cancelNext = clock.after(restartMs, () => this.#again())
  }

  #again(): void {
    ;[this.#thread, this.link] = this.#spawn()
    const { log } = this.#parts
    this.listen(this.#at as Endpoint).then(
      () => log.info('worker.ready', { worker: this.number }),
      (error: unknown) => {
        log.warn('worker.start', { worker: this.number, error: String(error) })
        void this.#thread.terminate()
      },
    )
  }
}
