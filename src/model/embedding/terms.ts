/**
 * How an encoder is to be used: what the settings say, else what its own files say, else what most encoders want. The files
 * are those of sentence-transformers and of transformers.
 */
import { type EncoderFiles, type JsonRecord, recordOf } from './files.ts'
import type { EmbeddingOptions, Pooling } from './options.ts'

export interface EncoderTerms {
  readonly pooling: Pooling
  readonly normalize: boolean
  readonly maxTokens: number
  readonly truncate: boolean
  /** Shorter vectors that may be asked for; `any`: each length. */
  readonly dimensions: readonly number[] | 'any'
}

/** What BERT was trained for, and most encoders after it. */
const DEFAULT_MAX_TOKENS = 512
/** Tokenizers without a bound say 10^30. */
const MOST_TOKENS = 1_000_000

/** `isPooled`: the graph itself gives one vector a text. Throws an Error that says which part of the model is not done here. */
export function encoderTerms(
  files: EncoderFiles,
  options: EmbeddingOptions,
  isPooled: boolean,
): EncoderTerms {
  const steps = stepsOf(files)
  if (!isPooled) refuseOtherSteps(steps)
  return {
    pooling: options.pooling ?? (isPooled ? 'mean' : poolingOf(files)),
    normalize: options.normalize ?? (steps === undefined || steps.includes('Normalize')),
    maxTokens: maxTokensOf(files, options.maxTokens),
    truncate: options.truncate ?? Object.hasOwn(truncationOf(files), 'max_length'),
    dimensions: options.dimensions ?? dimensionsOf(recordOf(files.get('config.json'))),
  }
}

/** The names of the steps that sentence-transformers takes, such as `Transformer`, `Pooling`; undefined: the files do not say. */
function stepsOf(files: EncoderFiles): readonly string[] | undefined {
  const modules = files.get('modules.json')
  if (!Array.isArray(modules)) return undefined
  return modules.map((module) => String(recordOf(module)['type']).split('.').at(-1) ?? '')
}

const KNOWN_STEPS = new Set(['Transformer', 'Pooling', 'Normalize'])

function refuseOtherSteps(steps: readonly string[] = []): void {
  const other = steps.find((step) => !KNOWN_STEPS.has(step))
  if (other === undefined) return
  const fix = 'export the model with all its steps, so that its output is "sentence_embedding"'
  throw new Error(`modules.json has a step "${other}" that is not in this graph: ${fix}`)
}

function poolingOf(files: EncoderFiles): Pooling {
  const config = recordOf(files.get('1_Pooling/config.json'))
  const named = config['pooling_mode']
  const chosen = [
    ...(typeof named === 'string' ? [named] : []),
    ...Object.keys(config).filter((key) => key.startsWith('pooling_mode_') && config[key] === true),
  ].map((mode) => mode.replace(/^pooling_mode_/, '').replace(/_(?:token|tokens)$/, ''))
  const [mode = 'mean', ...others] = new Set(chosen)
  if (others.length === 0 && (mode === 'mean' || mode === 'cls')) return mode
  const fix = 'set "pooling" to mean or cls, or export the model with its pooling'
  throw new Error(`1_Pooling/config.json asks for ${[...new Set(chosen)].join(' and ')} pooling: ${fix}`)
}

function truncationOf(files: EncoderFiles): JsonRecord {
  return recordOf(recordOf(files.get('tokenizer.json'))['truncation'])
}

function maxTokensOf(files: EncoderFiles, wanted: number | undefined): number {
  const positions = boundIn(recordOf(files.get('config.json'))['max_position_embeddings'])
  if (wanted !== undefined) {
    if (positions === undefined || wanted <= positions) return wanted
    throw new Error(`${wanted} tokens are more than the ${positions} positions of the model's config.json`)
  }
  return (
    boundIn(recordOf(files.get('sentence_bert_config.json'))['max_seq_length']) ??
    boundIn(recordOf(files.get('tokenizer_config.json'))['model_max_length']) ??
    boundIn(truncationOf(files)['max_length']) ??
    positions ??
    DEFAULT_MAX_TOKENS
  )
}

function boundIn(value: unknown): number | undefined {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MOST_TOKENS
    ? Number(value)
    : undefined
}

/** Models that were trained so that the first numbers of a vector are a vector, too (Matryoshka), under vLLM's names. */
function dimensionsOf(config: JsonRecord): EncoderTerms['dimensions'] {
  const listed = config['matryoshka_dimensions']
  if (Array.isArray(listed)) return listed.filter((n): n is number => boundIn(n) !== undefined)
  return config['is_matryoshka'] === true ? 'any' : []
}
