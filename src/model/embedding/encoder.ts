/**
 * Runs an encoder: lists of tokens become vectors. Texts of several lengths share a run, padded to the longest; the attention
 * mask keeps the padding out of every answer, so a text has one vector, in whatever company (to within the rounding of the
 * engine: other sums are added in another order).
 */
import type { Batching } from '../batcher.ts'
import type { LoadedModel, Tensor, TensorSpec } from '../runtime.ts'
import { normalized, pooled } from './pooling.ts'
import type { EncoderTerms } from './terms.ts'

export type TokenIds = readonly number[]

const IDS = 'input_ids'
const MASK = 'attention_mask'
const SEGMENTS = 'token_type_ids'
const INPUTS: readonly string[] = [IDS, MASK, SEGMENTS]

/** The most tokens of a run, padding among them: attention takes memory by the square of a text's length. */
const MAX_RUN_TOKENS = 8_192
/** Texts that are shorter than this share of the longest have a run of their own: padding costs as much as text. */
const LEAST_SHARE = 0.5

export interface EncoderGraph {
  readonly model: LoadedModel
  /** The output that is read. */
  readonly output: TensorSpec
  /** The output is one vector a text already. */
  readonly isPooled: boolean
}

/** Throws an Error that says why the model is no encoder. */
export function encoderGraph(model: LoadedModel): EncoderGraph {
  const strange = model.inputs.find(({ name }) => !INPUTS.includes(name))
  const names = INPUTS.join(', ')
  if (strange) throw new Error(`an encoder has inputs among ${names}: this model has "${strange.name}"`)
  for (const name of [IDS, MASK]) {
    const spec = model.inputs.find((input) => input.name === name)
    if (!spec) throw new Error(`an encoder has an input "${name}", which this model has not`)
  }
  for (const { name, datatype, shape } of model.inputs) {
    const fits = /^INT(?:32|64)$/.test(datatype) && shape.length === 2 && shape.every((n) => n === -1)
    if (!fits) throw new Error(`input "${name}" is ${datatype} [${shape.join(', ')}], INT64 [-1, -1] wanted`)
  }
  const floats = model.outputs.filter(({ datatype }) => datatype === 'FP32')
  const ready = floats.find(({ name, shape }) => name === 'sentence_embedding' && shape.length === 2)
  const output = ready ?? floats.find(({ shape }) => shape.length === 3) ?? floats.find(is2D)
  if (!output) throw new Error('an encoder has an FP32 output of [texts, tokens, width] or [texts, width]')
  return { model, output, isPooled: output.shape.length === 2 }
}

const is2D = ({ shape }: TensorSpec): boolean => shape.length === 2

/** How calls of token lists share runs: any of them, since each is padded. */
export function encoderBatching(
  graph: EncoderGraph,
  terms: EncoderTerms,
): Batching<readonly TokenIds[], Float32Array[]> {
  return {
    joins: true,
    rowsOf: (call) => call.length,
    alike: () => true,
    async run(calls) {
      const vectors = await encode(graph, terms, calls.flat())
      let from = 0
      return calls.map(({ length }) => vectors.slice(from, (from += length)))
    },
    release: () => graph.model.release(),
  }
}

/** The vector of each list of tokens, in order. */
export async function encode(
  graph: EncoderGraph,
  terms: EncoderTerms,
  texts: readonly TokenIds[],
): Promise<Float32Array[]> {
  const vectors: Float32Array[] = []
  for (const run of runsOf(texts)) {
    const found = await runOnce(
      graph,
      terms,
      run.map((at) => texts[at] as TokenIds),
    )
    for (const [i, at] of run.entries()) vectors[at] = found[i] as Float32Array
  }
  return vectors
}

/** The places of texts that share a run, the longest first, so that those of one run are of like length. */
function runsOf(texts: readonly TokenIds[]): number[][] {
  const length = (at: number): number => (texts[at] as TokenIds).length
  const places = [...texts.keys()].toSorted((a, b) => length(b) - length(a))
  const runs: number[][] = []
  let run: number[] = []
  for (const at of places) {
    const longest = length(run[0] ?? at)
    const isFull = (run.length + 1) * longest > MAX_RUN_TOKENS || length(at) < longest * LEAST_SHARE
    if (run.length > 0 && isFull) {
      runs.push(run)
      run = []
    }
    run.push(at)
  }
  return run.length > 0 ? [...runs, run] : runs
}

async function runOnce(
  { model, output, isPooled }: EncoderGraph,
  terms: EncoderTerms,
  texts: readonly TokenIds[],
) {
  const longest = texts[0]?.length ?? 0
  const inputs = model.inputs.map((spec) => [spec.name, padded(spec, texts, longest)] as const)
  const answer = (await model.run(new Map(inputs))).get(output.name) as Tensor
  const width = answer.shape.at(-1) ?? 0
  const data = answer.data as Float32Array
  return texts.map(({ length }, i) => {
    const size = isPooled ? width : longest * width
    const own = data.subarray(i * size, (i + 1) * size)
    const vector = isPooled ? own.slice() : pooled(own, { width, length, pooling: terms.pooling })
    return terms.normalize ? normalized(vector) : vector
  })
}

/** One input of a run: the tokens, a 1 for each of them, or zeros; 0 behind the end of a text. */
function padded({ name, datatype }: TensorSpec, texts: readonly TokenIds[], longest: number): Tensor {
  const shape = [texts.length, longest]
  const values = new Int32Array(texts.length * longest)
  if (name === MASK)
    for (const [i, { length }] of texts.entries()) values.fill(1, i * longest, i * longest + length)
  if (name === IDS) for (const [i, tokens] of texts.entries()) values.set(tokens, i * longest)
  return { datatype, shape, data: datatype === 'INT64' ? BigInt64Array.from(values, BigInt) : values }
}
