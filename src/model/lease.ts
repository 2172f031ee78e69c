/**
 * Runs the lease client in a thread, and controls it from the thread that runs the models.
 *
 * ONNX Runtime blocks the thread that calls it. A heartbeat that waits behind an inference would get healthy servers
 * removed exactly when they are busy. Either of the two could move to a thread: the lease does, because it sends a few
 * hundred bytes every five seconds, while moving the runs would copy every tensor twice and cost each call two hops.
 */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { reasonOf } from './error.ts'
import type { LeaseEvent, LeaseTerms, ServedModel } from './lease-client.ts'
import type { LeaseCommand, LeaseStart } from './lease-thread.ts'

/** Two calls of two seconds each, the running one and the requested one, and a margin. */
const COMMAND_TIMEOUT_MS = 4_500

export interface LeaseHandlers {
  readonly onRegistered: (generation: number) => void
  readonly onProblem: (reason: string) => void
  /** A successor holds the id: end this process. */
  readonly onFenced: (reason: string) => void
}

export class ModelLease {
  readonly #worker: Worker
  readonly #handlers: LeaseHandlers
  readonly #waiting = new Map<'drained' | 'left', () => void>()
  #hasEnded = false

  /** Registers at once, and again whenever the registry has forgotten the backend. */
  constructor(terms: LeaseTerms, offers: readonly ServedModel[], handlers: LeaseHandlers) {
    this.#handlers = handlers
    const data: LeaseStart = { terms, offers }
    // This file ends in .ts where the sources run without a build.
    const file = new URL(`./lease-thread${extname(import.meta.filename)}`, import.meta.url)
    this.#worker = new Worker(file, { workerData: data, name: 'lease' })
    this.#worker.on('message', (event: LeaseEvent) => this.#onEvent(event))
    this.#worker.on('error', (error) => handlers.onProblem(`the lease thread failed: ${reasonOf(error)}`))
    this.#worker.on('exit', () => this.#end())
  }

  /** Registers other models or other files of them, under the same generation. */
  update(offers: readonly ServedModel[]): void {
    this.#post({ type: 'update', offers })
  }

  /** Asks the gateway to send no more calls. Resolves when it has confirmed, or after the timeout. */
  drain(): Promise<void> {
    return this.#command({ type: 'drain' }, 'drained')
  }

  /** Deregisters. Resolves within the timeout, whether the registry was reached or not. */
  async leave(): Promise<void> {
    await this.#command({ type: 'leave' }, 'left')
    await this.#worker.terminate()
  }

  #post(command: LeaseCommand): void {
    if (!this.#hasEnded) this.#worker.postMessage(command)
  }

  async #command(command: LeaseCommand, answer: 'drained' | 'left'): Promise<void> {
    if (this.#hasEnded) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, COMMAND_TIMEOUT_MS)
      this.#waiting.set(answer, () => {
        clearTimeout(timer)
        resolve()
      })
      this.#post(command)
    })
  }

  #onEvent(event: LeaseEvent): void {
    switch (event.type) {
      case 'registered':
        return this.#handlers.onRegistered(event.generation)
      case 'trouble':
        return this.#handlers.onProblem(event.reason)
      case 'fenced':
        return this.#handlers.onFenced(event.reason)
      default:
        this.#waiting.get(event.type)?.()
    }
  }

  #end(): void {
    this.#hasEnded = true
    for (const resolve of this.#waiting.values()) resolve()
  }
}
