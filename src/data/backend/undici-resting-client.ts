/**
 * One connection of an undici pool. Behind an error it is not used for a moment, as those of our own client: many servers close
 * there without a word, and the next POST would be lost. To its pool it is busy for that long.
 */
import type { EventEmitter } from 'node:events'
import { Client, Dispatcher } from 'undici'
import { REST_MS, rests } from './exchange.ts'

/** The handler of a request, which knows the status of its answer; 0: none yet. */
export interface StatusHandler extends Dispatcher.DispatchHandler {
  readonly status: number
}

export class RestingClient extends Dispatcher {
  readonly #client: Client
  #last: StatusHandler | undefined
  /** Set while it rests. */
  #timer: NodeJS.Timeout | undefined

  constructor(origin: URL, options: Client.Options) {
    super()
    this.#client = new Client(origin, options)
      .on('connect', (origin, targets) => this.emit('connect', origin, [this, ...targets]))
      .on('connectionError', (origin, targets, error) =>
        this.emit('connectionError', origin, [this, ...targets], error),
      )
      .on('disconnect', (origin, targets, error) => {
        this.emit('disconnect', origin, [this, ...targets], error)
        // The next request opens a new connection.
        if (this.#timer) this.#free(origin)
      })
      .on('drain', (origin) => {
        if (!rests(this.#last?.status ?? 0)) return this.#free(origin)
        clearTimeout(this.#timer)
        this.#timer = setTimeout(() => this.#free(origin), REST_MS).unref()
      })
  }

  get closed(): boolean {
    return this.#client.closed
  }

  get destroyed(): boolean {
    return this.#client.destroyed
  }

  /** Takes one request at a time: false until `drain`. */
  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.#last = handler as StatusHandler
    return this.#client.dispatch(options, handler)
  }

  override close(): Promise<void>
  override close(callback: () => void): void
  override close(callback?: () => void): Promise<void> | undefined {
    if (!callback) return this.#client.close()
    this.#client.close(callback)
    return undefined
  }

  override destroy(error?: Error | null | (() => void)): Promise<void> {
    clearTimeout(this.#timer)
    return this.#client.destroy(error instanceof Error ? error : null)
  }

  #free(origin: URL): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    // undici's types leave out the targets of `drain`.
    ;(this as EventEmitter).emit('drain', origin, [this])
  }
}
