/** Makes of a model's bytes what serves it: of any model a batcher of tensors, of a sentence encoder one of texts. */
import { InferenceBatcher, type InferenceBatcherOptions } from './batcher.ts'
import { Embedder } from './embedding/embedder.ts'
import { parseCompanions } from './embedding/files.ts'
import type { EmbeddingOptions } from './embedding/options.ts'
import { reasonOf } from './error.ts'
import {
  type LoadedModel,
  makeData,
  type Runtime,
  sizeOf,
  type Tensor,
  type TensorSpec,
  type Tensors,
} from './runtime.ts'
import type { ModelBytes } from './source.ts'
import { tensorBatching } from './tensor-batching.ts'

/** Answers calls, several of them in a run. */
export interface Runner {
  /** The most rows worth sending in one call. */
  readonly maxBatch: number
  /** Rejects as `InferenceBatcher.run`, and with a 400 for values that the model cannot read. */
  run(inputs: Tensors, signal?: AbortSignal): Promise<Tensors>
  /** Answers the queued calls, refuses new ones, and then frees the engine's memory. */
  retire(): void
}

export interface OpenedModel {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  readonly runner: Runner
  readonly embedder?: Embedder
}

export interface OpenOptions extends InferenceBatcherOptions {
  readonly runtime: Runtime
  readonly embedding: EmbeddingOptions | undefined
}

/** Loads a model and runs it once. Throws an Error whose message says what is wrong with it. */
export async function openModel(
  { bytes, companions }: ModelBytes,
  { runtime, embedding, maxBatch, delayMs }: OpenOptions,
): Promise<OpenedModel> {
  const batching = { maxBatch, delayMs }
  if (embedding) {
    const files = parseCompanions(companions)
    const model = await runtime.load(bytes)
    const embedder = await Embedder.open(model, files, { ...embedding, ...batching })
    return { inputs: embedder.inputs, outputs: embedder.outputs, runner: embedder, embedder }
  }
  const model = await runtime.load(bytes)
  await warm(model)
  const runner = new InferenceBatcher(tensorBatching(model), batching)
  return { inputs: model.inputs, outputs: model.outputs, runner }
}

/**
 * Warms a model up with one run on zeros: the first run allocates, and a model that cannot run must not be announced.
 * Where a dimension besides the first is open, zeros of length 1 may be invalid for the model, and a failure proves
 * nothing.
 */
async function warm(model: LoadedModel): Promise<void> {
  const zeros = new Map<string, Tensor>()
  for (const { name, datatype, shape } of model.inputs) {
    const whole = shape.map((n) => (n === -1 ? 1 : n))
    zeros.set(name, { datatype, shape: whole, data: makeData(datatype, sizeOf(whole)) })
  }
  try {
    await model.run(zeros)
  } catch (error) {
    if (model.inputs.some(({ shape }) => shape.lastIndexOf(-1) > 0)) return
    await model.release()
    throw new Error(`the model loads but does not run: ${reasonOf(error)}`, { cause: error })
  }
}
