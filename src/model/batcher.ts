/**
 * Dynamic batching: one run at a time on one model; calls that arrive during a run share the next one.
 *
 * Nothing waits in order to be batched: a run takes the calls that are queued. Calls are joined along the first
 * dimension when the model leaves that open on every input and output, their other dimensions are equal, and the rows
 * fit under `maxBatch`. Each call gets exactly its own rows, so an answer never reveals what else was in the batch.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ModelError } from './error.ts'
import {
  type LoadedModel,
  makeData,
  sizeOf,
  type Tensor,
  type TensorData,
  type TensorSpec,
  type Tensors,
} from './runtime.ts'

/** Most calls waiting for one model; further ones are refused at once, for they would only time out later. */
const MAX_WAITING = 1024

export interface InferenceBatcherOptions {
  /** The most rows calls are joined to; a call that has more by itself runs alone. 1 joins nothing. */
  readonly maxBatch: number
  /** An artificial delay of every run, for load experiments. */
  readonly delayMs: number
}

interface QueuedRun {
  readonly inputs: Tensors
  readonly rows: number
  readonly resolve: (outputs: Tensors) => void
  readonly reject: (error: unknown) => void
}

const isOpen = (spec: TensorSpec): boolean => spec.shape[0] === -1

export class InferenceBatcher {
  readonly #model: LoadedModel
  readonly #options: InferenceBatcherOptions
  readonly #joins: boolean
  #queue: QueuedRun[] = []
  #busy = false
  #retired = false

  constructor(model: LoadedModel, options: InferenceBatcherOptions) {
    this.#model = model
    this.#options = options
    this.#joins = [...model.inputs, ...model.outputs].every(isOpen)
  }

  /** The most rows worth sending in one call: 1 where the first dimension is not open. */
  get maxBatch(): number {
    return this.#joins ? this.#options.maxBatch : 1
  }

  /**
   * Throws a 503 when too many wait or the model has been replaced, what the run threw, and the reason of `signal` when that
   * aborts while the call waits: a call that runs already runs to its end.
   */
  run(inputs: Tensors, signal?: AbortSignal): Promise<Tensors> {
    if (this.#retired) throw new ModelError(503, 'the model has just been replaced: send the call again')
    if (this.#queue.length >= MAX_WAITING) {
      throw new ModelError(503, `${MAX_WAITING} calls wait for this model already`)
    }
    return new Promise((resolve, reject) => {
      const call = { inputs, rows: rowsOf(inputs), resolve, reject }
      this.#queue.push(call)
      signal?.addEventListener('abort', () => this.#remove(call, signal.reason), { once: true })
      if (!this.#busy) this.#start()
    })
  }

  #remove(call: QueuedRun, reason: unknown): void {
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
    this.#model.release().catch(() => undefined)
  }

  /** The oldest call, and those behind it as long as they can be joined to it. */
  #next(): QueuedRun[] {
    const first = this.#queue[0]
    if (!first) return []
    let rows = first.rows
    let count = 1
    for (; this.#joins && count < this.#queue.length; count += 1) {
      const call = this.#queue[count]
      if (!call || rows + call.rows > this.#options.maxBatch || !alike(first.inputs, call.inputs)) break
      rows += call.rows
    }
    return this.#queue.splice(0, count)
  }

  async #serve(batch: readonly QueuedRun[]): Promise<void> {
    const [first, ...others] = batch
    if (!first) return
    try {
      if (others.length === 0) return first.resolve(await this.#run(first.inputs))
      const outputs = await this.#run(joined(batch))
      const parts = cut(outputs, batch)
      if (parts) return batch.forEach((call, i) => call.resolve(parts[i] ?? outputs))
    } catch (error) {
      if (others.length === 0) return first.reject(error)
    }
    // One call's values may have failed the whole run, or the outputs do not follow the rows: run each call alone.
    for (const call of batch) await this.#run(call.inputs).then(call.resolve, call.reject)
  }

  async #run(inputs: Tensors): Promise<Tensors> {
    if (this.#options.delayMs > 0) await sleep(this.#options.delayMs)
    return this.#model.run(inputs)
  }
}

const rowsOf = (inputs: Tensors): number => {
  const [first] = inputs.values()
  return first?.shape[0] ?? 1
}

/** True when every input of both has the same dimensions after the first, and each has one row count only. */
function alike(one: Tensors, other: Tensors): boolean {
  const rows = [rowsOf(one), rowsOf(other)]
  return [...one].every(([name, a]) => {
    const b = other.get(name)
    if (!b || a.shape[0] !== rows[0] || b.shape[0] !== rows[1]) return false
    return a.shape.length === b.shape.length && a.shape.every((n, i) => i === 0 || n === b.shape[i])
  })
}

function joined(batch: readonly QueuedRun[]): Tensors {
  const inputs = new Map<string, Tensor>()
  for (const [name, { datatype, shape }] of batch[0]?.inputs ?? []) {
    const parts = batch.flatMap((call) => call.inputs.get(name) ?? [])
    const rows = batch.reduce((sum, call) => sum + call.rows, 0)
    const whole = [rows, ...shape.slice(1)]
    inputs.set(name, { datatype, shape: whole, data: concatenate(parts, sizeOf(whole)) })
  }
  return inputs
}

function concatenate(parts: readonly Tensor[], length: number): TensorData {
  if (Array.isArray(parts[0]?.data)) return parts.flatMap((part) => part.data as string[])
  const data = makeData(parts[0]?.datatype ?? 'FP32', length) as Uint8Array
  let at = 0
  for (const part of parts) {
    data.set(part.data as Uint8Array, at)
    at += part.data.length
  }
  return data
}

/** Each call's rows of every output; undefined when an output does not have the rows that went in. */
function cut(outputs: Tensors, batch: readonly QueuedRun[]): Tensors[] | undefined {
  const rows = batch.reduce((sum, call) => sum + call.rows, 0)
  if (![...outputs.values()].every(({ shape }) => shape[0] === rows)) return undefined
  let from = 0
  return batch.map((call) => {
    const part = new Map<string, Tensor>()
    for (const [name, { datatype, shape, data }] of outputs) {
      const width = sizeOf(shape.slice(1))
      const own = data.slice(from * width, (from + call.rows) * width)
      part.set(name, { datatype, shape: [call.rows, ...shape.slice(1)], data: own })
    }
    from += call.rows
    return part
  })
}
