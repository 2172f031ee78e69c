/**
 * Dynamic batching: one run at a time on one model; calls that arrive during a run share the next one.
 *
 * Nothing waits in order to be batched: a run takes the calls that are queued. What calls are made of, and which of them may
 * share a run, the model's `Batching` says. Each call gets exactly its own rows, so an answer never reveals what else was in
 * the batch.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ModelError } from './error.ts'

/** Most calls waiting for one model; further ones are refused at once, for they would only time out later. */
const MAX_WAITING = 1024

export interface InferenceBatcherOptions {
  /** The most rows calls are joined to; a call that has more by itself runs alone. 1 joins nothing. */
  readonly maxBatch: number
  /** An artificial delay of every run, for load experiments. */
  readonly delayMs: number
}

/** How the calls of a model share a run. */
export interface Batching<Input, Output> {
  /** False: no call shares a run with another. */
  readonly joins: boolean
  rowsOf(input: Input): number
  /** Whether the two may be in one run. */
  alike(one: Input, other: Input): boolean
  /** The output of each input, in order; undefined where the outputs cannot be told apart: then each is run alone. */
  run(inputs: readonly Input[]): Promise<readonly Output[] | undefined>
  /** Frees the engine's memory; `run` is never called again. */
  release(): Promise<void>
}

interface QueuedRun<Input, Output> {
  readonly input: Input
  readonly rows: number
  readonly resolve: (output: Output) => void
  readonly reject: (error: unknown) => void
}

export class InferenceBatcher<Input, Output> {
  readonly #batching: Batching<Input, Output>
  readonly #options: InferenceBatcherOptions
  #queue: QueuedRun<Input, Output>[] = []
  #busy = false
  #retired = false

  constructor(batching: Batching<Input, Output>, options: InferenceBatcherOptions) {
    this.#batching = batching
    this.#options = options
  }

  /** The most rows worth sending in one call: 1 where calls are not joined. */
  get maxBatch(): number {
    return this.#batching.joins ? this.#options.maxBatch : 1
  }

  /**
   * Throws a 503 when too many wait or the model has been replaced, what the run threw, and the reason of `signal` when that
   * aborts while the call waits: a call that runs already runs to its end.
   */
  run(input: Input, signal?: AbortSignal): Promise<Output> {
    if (this.#retired) throw new ModelError(503, 'the model has just been replaced: send the call again')
    if (this.#queue.length >= MAX_WAITING) {
      throw new ModelError(503, `${MAX_WAITING} calls wait for this model already`)
    }
    return new Promise((resolve, reject) => {
      const call = { input, rows: this.#batching.rowsOf(input), resolve, reject }
      this.#queue.push(call)
      signal?.addEventListener('abort', () => this.#remove(call, signal.reason), { once: true })
      if (!this.#busy) this.#start()
    })
  }

  #remove(call: QueuedRun<Input, Output>, reason: unknown): void {
    const at = this.#queue.indexOf(call)
    if (at === -1) return
    this.#queue.splice(at, 1)
    call.reject(reason)
  }

  /** Answers the queued calls, refuses new ones, and then releases the engine's memory. */
  retire(): void {
    if (this.#retired) return
    this.#retired = true
    if (!this.#busy) this.#release()
  }

  #start(): void {
    this.#busy = true
    // Sockets that are readable now are read first, so that calls of one moment share a run.
    setImmediate(() => void this.#pump())
  }

  async #pump(): Promise<void> {
    const batch = this.#next()
    await this.#serve(batch)
    if (this.#queue.length > 0) return this.#start()
    this.#busy = false
    if (this.#retired) this.#release()
  }

  #release(): void {
    // A session that cannot be released leaks memory, but its successor can serve.
    this.#batching.release().catch(() => undefined)
  }

  /** The oldest call, and those behind it as long as they can be joined to it. */
  #next(): QueuedRun<Input, Output>[] {
    const first = this.#queue[0]
    if (!first) return []
    if (!this.#batching.joins) return this.#queue.splice(0, 1)
    let rows = first.rows
    let count = 1
    for (; count < this.#queue.length; count += 1) {
      const call = this.#queue[count]
      if (!call || rows + call.rows > this.#options.maxBatch) break
      if (!this.#batching.alike(first.input, call.input)) break
      rows += call.rows
    }
    return this.#queue.splice(0, count)
  }

  async #serve(batch: readonly QueuedRun<Input, Output>[]): Promise<void> {
    if (batch.length === 1) return this.#serveAlone(batch)
    const outputs = await this.#run(batch).catch(() => undefined)
    // One call's values may have failed the whole run, or the outputs do not follow the rows: run each call alone.
    if (!outputs) return this.#serveAlone(batch)
    for (const [i, call] of batch.entries()) call.resolve(outputs[i] as Output)
  }

  async #serveAlone(batch: readonly QueuedRun<Input, Output>[]): Promise<void> {
    for (const call of batch) {
      const answer = this.#run([call]).then((outputs) => outputs?.[0] as Output)
      await answer.then(call.resolve, call.reject)
    }
  }

  async #run(batch: readonly QueuedRun<Input, Output>[]): Promise<readonly Output[] | undefined> {
    if (this.#options.delayMs > 0) await sleep(this.#options.delayMs)
    return this.#batching.run(batch.map(({ input }) => input))
  }
}
