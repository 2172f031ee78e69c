/**
 * The place of one data worker: a thread, the link to it, and another thread when it has ended. A worker that ends takes
 * the calls it had with it and no others; the next one comes after a pause that grows while they keep ending. One whose
 * event loop stands still is ended: the system would go on giving it connections that nobody answers.
 */
import { getCompileCacheDir } from 'node:module'
import { dirname, extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { HostPort } from '../../core/addresses.ts'
import type { Log } from '../../core/log.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ToControl, ToWorker, WorkerStart } from './messages.ts'
import { ThreadRpc } from './thread-rpc.ts'

export type Down = ThreadRpc<ToWorker, ToControl>
type Offers = Parameters<Down['offer']>[0]
/** What a worker has ended of. */
export type ExitReason = 'asked' | 'crash' | 'hang'

export interface WorkerPlaceParts {
  readonly start: WorkerStart
  /** What the worker may ask and tell. */
  readonly offers: Offers
  /** Tells a new worker what the first ones were told since the start. */
  readonly brief: (link: Down) => void
  /** Clears what an ended worker has left, before another one comes. */
  readonly bury: (ending: ExitReason) => void
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
const LOOK_MS = 1_000
/**
 * A worker that has not moved between so many looks hangs. Looks are counted and not time: where this thread did not run
 * either, the whole process stood still.
 */
const STILL_LOOKS = 5

export class WorkerSupervisor {
  readonly number: number
  isListening = false
  /** Undefined: there was no thread yet. */
  link: Down | undefined
  readonly #parts: WorkerPlaceParts
  #thread: Worker | undefined
  #gone = Promise.resolve()
  #at: HostPort | undefined
  #bornAt = 0
  #failures = 0
  #isClosing = false
  #cause: ExitReason = 'crash'
  #cancelNext = () => {}
  #cancelLook = () => {}

  constructor(parts: WorkerPlaceParts) {
    this.number = parts.start.worker
    this.#parts = parts
  }

  /** Starts the thread, which listens there as soon as it can, and so does each that follows it. */
  start(at: HostPort): void {
    this.#at = at
    this.#begin()
  }

  /** No other thread comes when this one ends, and one that does not listen yet never will. */
  retire(): void {
    this.#isClosing = true
    this.#cancelNext()
    this.#cancelLook()
    if (!this.isListening) void this.#thread?.terminate()
  }

  /** Ends the thread; whoever wants it to end in peace asks it before. */
  async close(): Promise<void> {
    this.retire()
    await this.#thread?.terminate()
    await this.#gone
  }

  #begin(): void {
    const { log } = this.#parts
    const { thread, link } = this.#spawn()
    this.#thread = thread
    this.link = link
    link.ask('listen', this.#at as HostPort, LISTEN_MS).then(
      () => {
        if (link.isEnded) return
        this.isListening = true
        log.info('worker.ready', { worker: this.number })
        this.#watch(0, 0)
      },
      (error: unknown) => {
        if (this.#isClosing) return
        log.warn('worker.start', { worker: this.number, error: String(error) })
        void thread.terminate()
      },
    )
  }

  #spawn(): { readonly thread: Worker; readonly link: Down } {
    const { start, clock, offers, brief } = this.#parts
    const thread = new Worker(this.#parts.entry ?? ENTRY, {
      workerData: start,
      env: environment(),
      name: `worker ${start.worker}`,
    })
    const link: Down = new ThreadRpc(thread, clock)
    let error: unknown
    thread.on('error', (cause) => {
      error = cause
    })
    const ended = Promise.withResolvers<void>()
    this.#gone = ended.promise
    thread.once('exit', (code) => {
      this.#ended({ code, error }, link)
      ended.resolve()
    })
    this.#bornAt = clock.now()
    this.#cause = 'crash'
    link.offer(offers)
    brief(link)
    return { thread, link }
  }

  /** `seen`: where its beat stood at the last look, `still`: for how many looks. */
  #watch(seen: number, still: number): void {
    const { start, clock, log } = this.#parts
    this.#cancelLook = clock.after(LOOK_MS, () => {
      const beat = Atomics.load(start.shared.beats, this.number)
      if (beat !== seen || still + 1 < STILL_LOOKS) return this.#watch(beat, beat === seen ? still + 1 : 0)
      this.#cause = 'hang'
      // Nobody asks it anything any more; what it holds in shared memory is its own until it has ended.
      this.isListening = false
      log.error('worker.hung', { worker: this.number, stillMs: STILL_LOOKS * LOOK_MS })
      void this.#thread?.terminate()
    })
  }

  #ended({ code, error }: { readonly code: number; readonly error: unknown }, link: Down): void {
    const { clock, log, random, bury } = this.#parts
    const why = error instanceof Error ? error : new Error(`data worker ${this.number} ended with ${code}`)
    this.isListening = false
    this.#cancelLook()
    bury(this.#isClosing ? 'asked' : this.#cause)
    link.end(why)
    if (this.#isClosing) return
    if (clock.now() - this.#bornAt >= STABLE_MS) this.#failures = 0
    const restartMs = Math.round(backoffMs(this.#failures++, { ...BACKOFF, random }))
    log.error('worker.exit', { worker: this.number, code, error: why.stack ?? why.message, restartMs })
    this.#cancelNext = clock.after(restartMs, () => this.#begin())
  }
}

/** A thread finds compiled what this one has compiled, which is most of its start; it is told so by its environment only. */
function environment(): NodeJS.ProcessEnv {
  const cache = getCompileCacheDir()
  // The folder in it is named after the version and flags of the engine.
  return cache === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(cache) }
}
