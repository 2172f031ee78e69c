/**
 * Supervises one data worker: starts its thread, and starts another one when it has ended. A worker that ends loses the
 * calls it had and no others; the next one starts after a pause that grows while they keep ending. A worker whose event
 * loop is blocked is terminated, because the system would go on giving it connections that nobody answers.
 */
import { getCompileCacheDir } from 'node:module'
import { dirname, extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Listening } from '../../core/addresses.ts'
import type { Log } from '../../core/log.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import { withdrawBinding } from './bindings.ts'
import type { ToControl, ToWorker, WorkerStart } from './messages.ts'
import { ThreadRpc } from './thread-rpc.ts'

export type WorkerRpc = ThreadRpc<ToWorker, ToControl>
type Handlers = Parameters<WorkerRpc['handle']>[0]
/** Why a worker has ended. */
export type ExitReason = 'asked' | 'crash' | 'hang'

export interface WorkerSupervisorParts {
  readonly start: WorkerStart
  /** The handlers of the worker's calls. */
  readonly handlers: Handlers
  /** Sends a new worker the state that changed since the start. */
  readonly catchUp: (rpc: WorkerRpc) => void
  /** Cleans up the shared memory of an ended worker, before another one starts. */
  readonly cleanUp: (ending: ExitReason) => void
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  /** Called when a worker has ended whose socket was handed over: it is closed, and no other worker can listen on it. */
  readonly socketLost: () => void
  /** The module that the thread runs; set by tests. */
  readonly entry?: URL
}

const ENTRY = new URL(`./worker-thread${extname(import.meta.filename)}`, import.meta.url)
/** Most time until a thread listens: it compiles all its code first, which takes long on a busy machine. */
const LISTEN_MS = 60_000
/** A worker that ran for this long did not fail at the start. */
const STABLE_MS = 30_000
/** Time beyond the drain's deadline until the worker must have answered. */
const DRAIN_GRACE_MS = 2_000
const BACKOFF = { baseMs: 100, maxMs: 10_000 }
const CHECK_MS = 1_000
/**
 * A worker whose heartbeat has not changed in this many checks hangs. Checks are counted instead of time: when this
 * thread did not run either, the whole process was suspended.
 */
const STALLED_CHECKS = 5

export class WorkerSupervisor {
  readonly number: number
  isListening = false
  /** Undefined before the first thread. */
  rpc: WorkerRpc | undefined
  readonly #parts: WorkerSupervisorParts
  #thread: Worker | undefined
  #exited = Promise.resolve()
  #at: Listening | undefined
  #startedAt = 0
  #failures = 0
  #isClosing = false
  #cause: ExitReason = 'crash'
  #cancelRestart = () => {}
  #cancelCheck = () => {}

  constructor(parts: WorkerSupervisorParts) {
    this.number = parts.start.worker
    this.#parts = parts
  }

  /** Starts the thread, which listens at this address; so do its successors. */
  start(at: Listening): void {
    this.#at = at
    if (!this.#isClosing) this.#begin()
  }

  /**
   * Stops restarting. A thread that has not begun to bind the port is terminated; resolves when any other has been drained, or
   * has ended.
   */
  async drain(timeoutMs: number): Promise<void> {
    if (this.#retire()) return
    await this.rpc?.call('drain', timeoutMs, timeoutMs + DRAIN_GRACE_MS).catch(() => {})
  }

  /** Terminates the thread. For a graceful end, drain before, and call `close` of the worker. */
  async close(): Promise<void> {
    this.#retire()
    await this.#thread?.terminate()
    await this.#exited
  }

  /** Returns whether the thread does not accept connections and never will. */
  #retire(): boolean {
    this.#isClosing = true
    this.#cancelRestart()
    this.#cancelCheck()
    const isUnbound = withdrawBinding(this.#parts.start.shared.bindings, this.number)
    if (isUnbound) void this.#thread?.terminate()
    return isUnbound
  }

  #begin(): void {
    const { log } = this.#parts
    const { thread, rpc } = this.#spawn()
    this.#thread = thread
    this.rpc = rpc
    rpc.call('listen', this.#at as Listening, LISTEN_MS).then(
      () => {
        if (rpc.isEnded) return
        this.isListening = true
        log.info('worker.ready', { worker: this.number })
        if (!this.#isClosing) this.#watch(0, 0)
      },
      (error: unknown) => {
        if (this.#isClosing) return
        log.warn('worker.start', { worker: this.number, error: String(error) })
        void thread.terminate()
      },
    )
  }

  #spawn(): { readonly thread: Worker; readonly rpc: WorkerRpc } {
    const { start, clock, handlers, catchUp } = this.#parts
    const thread = new Worker(this.#parts.entry ?? ENTRY, {
      workerData: start,
      env: environment(),
      name: `worker ${start.worker}`,
    })
    const rpc: WorkerRpc = new ThreadRpc(thread, clock)
    let error: unknown
    thread.on('error', (cause) => {
      error = cause
    })
    const exited = Promise.withResolvers<void>()
    this.#exited = exited.promise
    thread.once('exit', (code) => {
      this.#onExit({ code, error }, rpc)
      exited.resolve()
    })
    this.#startedAt = clock.now()
    this.#cause = 'crash'
    rpc.handle(handlers)
    catchUp(rpc)
    return { thread, rpc }
  }

  /**
   * @param lastBeat the heartbeat at the last check
   * @param unchanged in how many checks it has been the same
   */
  #watch(lastBeat: number, unchanged: number): void {
    const { start, clock, log } = this.#parts
    this.#cancelCheck = clock.after(CHECK_MS, () => {
      const beat = Atomics.load(start.shared.beats, this.number)
      if (beat !== lastBeat || unchanged + 1 < STALLED_CHECKS)
        return this.#watch(beat, beat === lastBeat ? unchanged + 1 : 0)
      this.#cause = 'hang'
      // It receives no more calls; its shared memory is cleaned up when the thread has ended.
      this.isListening = false
      log.error('worker.hung', { worker: this.number, stillMs: STALLED_CHECKS * CHECK_MS })
      void this.#thread?.terminate()
    })
  }

  #onExit({ code, error }: { readonly code: number; readonly error: unknown }, rpc: WorkerRpc): void {
    const { clock, log, random, cleanUp, socketLost } = this.#parts
    const why = error instanceof Error ? error : new Error(`data worker ${this.number} ended with ${code}`)
    this.isListening = false
    this.#cancelCheck()
    cleanUp(this.#isClosing ? 'asked' : this.#cause)
    rpc.end(why)
    if (this.#isClosing) return
    if (this.#at?.socket !== undefined) {
      log.error('worker.exit', { worker: this.number, code, error: why.stack ?? why.message })
      return socketLost()
    }
    if (clock.now() - this.#startedAt >= STABLE_MS) this.#failures = 0
    const restartMs = Math.round(backoffMs(this.#failures++, { ...BACKOFF, random }))
    log.error('worker.exit', { worker: this.number, code, error: why.stack ?? why.message, restartMs })
    this.#cancelRestart = clock.after(restartMs, () => this.#begin())
  }
}

/**
 * The environment of a thread, with the compile cache of this one, which saves most of its start. Node reads its folder
 * from the environment only.
 */
function environment(): NodeJS.ProcessEnv {
  const cache = getCompileCacheDir()
  // Node adds a folder named after the version and flags of the engine.
  return cache === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(cache) }
}
