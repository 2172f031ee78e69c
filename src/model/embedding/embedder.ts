/**
 * An embedding model that serves: texts or tokens in, vectors out. As tensors it has one input, `text`, and one output,
 * `embedding`, so both tensor protocols serve it like any other model.
 */
import { InferenceBatcher, type InferenceBatcherOptions } from '../batcher.ts'
import { ModelError } from '../error.ts'
import { type LoadedModel, sizeOf, type Tensor, type TensorSpec, type Tensors } from '../runtime.ts'
import { encode, encoderBatching, encoderGraph, type TokenIds } from './encoder.ts'
import type { EncoderFiles } from './files.ts'
import type { EmbeddingOptions } from './options.ts'
import { normalized } from './pooling.ts'
import { type EncoderTerms, encoderTerms } from './terms.ts'
import { TextTokenizer } from './tokenizer.ts'

const TEXT: TensorSpec = { name: 'text', datatype: 'BYTES', shape: [-1] }
const OUTPUT = 'embedding'

/** A text, or its tokens: those go to the model as they are, with nothing put around them. */
export type EmbeddingInput = string | TokenIds

export interface Embeddings {
  /** One an input, in order. */
  readonly vectors: readonly Float32Array[]
  /** How many tokens the model has read. */
  readonly tokens: number
}

interface EmbedderParts {
  readonly tokenizer: TextTokenizer
  readonly terms: EncoderTerms
  /** Numbers of a vector. */
  readonly width: number
  readonly batcher: InferenceBatcher<readonly TokenIds[], Float32Array[]>
}

export class Embedder {
  readonly inputs: readonly TensorSpec[] = [TEXT]
  readonly outputs: readonly TensorSpec[]
  readonly #parts: EmbedderParts

  /** Runs the model once. Throws an Error that says what is wrong with the model or its files; the model is released then. */
  static async open(
    model: LoadedModel,
    files: EncoderFiles,
    options: EmbeddingOptions & InferenceBatcherOptions,
  ): Promise<Embedder> {
    try {
      const graph = encoderGraph(model)
      const terms = encoderTerms(files, options, graph.isPooled)
      const tokenizer = await TextTokenizer.open(
        files.get('tokenizer.json'),
        files.get('tokenizer_config.json'),
      )
      const around = tokenizer.before.length + tokenizer.behind.length
      if (terms.maxTokens <= around)
        throw new Error(`${terms.maxTokens} tokens leave no room beside the ${around} around a text`)
      // The highest token, which a model of another vocabulary does not have.
      const probe = [...tokenizer.before, tokenizer.size - 1, ...tokenizer.behind]
      const [vector] = await encode(graph, terms, [probe]).catch((cause: unknown) => {
        const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
        throw new Error(`the model does not run on tokens of its tokenizer: ${reason}`, { cause })
      })
      const width = vector?.length ?? 0
      for (const n of terms.dimensions === 'any' ? [] : terms.dimensions)
        if (n > width) throw new Error(`vectors of ${width} numbers cannot be cut to ${n}`)
      const batcher = new InferenceBatcher(encoderBatching(graph, terms), options)
      return new Embedder({ tokenizer, terms, width, batcher })
    } catch (error) {
      await model.release()
      throw error
    }
  }

  private constructor(parts: EmbedderParts) {
    this.#parts = parts
    this.outputs = [{ name: OUTPUT, datatype: 'FP32', shape: [-1, parts.width] }]
  }

  get maxBatch(): number {
    return this.#parts.batcher.maxBatch
  }

  /** The most tokens of an input. */
  get maxTokens(): number {
    return this.#parts.terms.maxTokens
  }

  retire(): void {
    this.#parts.batcher.retire()
  }

  /** As tensors. Throws as `embed`. */
  async run(tensors: Tensors, signal?: AbortSignal): Promise<Tensors> {
    const texts = tensors.get(TEXT.name)?.data as string[]
    const { vectors } = await this.embed(texts, undefined, signal)
    const shape = [texts.length, this.#parts.width]
    const data = new Float32Array(sizeOf(shape))
    for (const [i, vector] of vectors.entries()) data.set(vector, i * this.#parts.width)
    const output: Tensor = { datatype: 'FP32', shape, data }
    return new Map([[OUTPUT, output]])
  }

  /**
   * @param dimensions how many numbers a vector shall have; undefined: all
   * @throws ModelError a 400 for an input that is too long or cannot be read, and for dimensions that the model has not; 503 as the batcher
   */
  async embed(
    inputs: readonly EmbeddingInput[],
    dimensions?: number,
    signal?: AbortSignal,
  ): Promise<Embeddings> {
    const { terms, width, batcher } = this.#parts
    this.#checkDimensions(dimensions)
    const tokens = this.#tokensOf(inputs)
    const whole = await batcher.run(tokens, signal)
    const isCut = dimensions !== undefined && dimensions < width
    const shorter = (vector: Float32Array) => vector.slice(0, dimensions)
    const vectors = isCut
      ? whole.map((each) => (terms.normalize ? normalized(shorter(each)) : shorter(each)))
      : whole
    return { vectors, tokens: tokens.reduce((sum, { length }) => sum + length, 0) }
  }

  #checkDimensions(wanted: number | undefined): void {
    const { terms, width } = this.#parts
    if (wanted === undefined || wanted === width) return
    const { dimensions } = terms
    if (wanted >= 1 && wanted < width && (dimensions === 'any' || dimensions.includes(wanted))) return
    const allowed = dimensions === 'any' ? `1 to ${width}` : [...dimensions, width].join(', ')
    throw new ModelError(400, `"dimensions": ${wanted} is not what this model's vectors may have: ${allowed}`)
  }

  #tokensOf(inputs: readonly EmbeddingInput[]): TokenIds[] {
    const read = this.#parts.tokenizer.tokens(inputs.filter((input) => typeof input === 'string')).values()
    return inputs.map((input, i) => {
      const tokens =
        typeof input === 'string' ? this.#around(read.next().value ?? [], i) : this.#known(input, i)
      if (tokens.length === 0) throw new ModelError(400, `input ${i} is empty`)
      return tokens
    })
  }

  #around(tokens: TokenIds, i: number): TokenIds {
    const { before, behind } = this.#parts.tokenizer
    return [...before, ...this.#bounded(tokens, before.length + behind.length, i), ...behind]
  }

  #known(tokens: TokenIds, i: number): TokenIds {
    const { size } = this.#parts.tokenizer
    const strange = tokens.find((token) => token < 0 || token >= size)
    if (strange === undefined) return this.#bounded(tokens, 0, i)
    throw new ModelError(400, `input ${i}: ${strange} is none of the ${size} tokens of this model`)
  }

  /** `others`: how many tokens there will be beside these. */
  #bounded(tokens: TokenIds, others: number, i: number): TokenIds {
    const { maxTokens, truncate } = this.#parts.terms
    const count = tokens.length + others
    if (count <= maxTokens) return tokens
    if (truncate) return tokens.slice(0, maxTokens - others)
    throw new ModelError(
      400,
      `input ${i} has ${count} tokens, of which this model reads at most ${maxTokens}`,
    )
  }
}
