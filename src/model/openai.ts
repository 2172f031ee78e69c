/**
 * OpenAI's API as far as embeddings go: `POST /v1/embeddings`, and the lists of models. Members that this server does not know
 * are ignored, as other servers do; those that would change the vectors are refused where the model cannot follow.
 */
import type { EmbeddingInput, Embeddings } from './embedding/embedder.ts'
import { ModelError } from './error.ts'
import { type JsonObject, type JsonValue, readJson } from './json.ts'
import type { Repository, Served } from './repository.ts'
import { describe, writeRows } from './tensors.ts'

/** OpenAI's own bound. */
const MAX_INPUTS = 2048

export interface EmbeddingCall {
  readonly model: string
  readonly inputs: readonly EmbeddingInput[]
  readonly encoding: 'float' | 'base64'
  readonly dimensions: number | undefined
}

/** Throws a 400 that says which member is wrong. */
export function readEmbeddings(text: string): EmbeddingCall {
  const body = readJson(text)
  if (!(body instanceof Map)) throw new ModelError(400, 'the body must be a JSON object')
  const model = body.get('model')
  if (typeof model !== 'string') throw wrong('model', 'the name of a model', model)
  return { model, inputs: inputsOf(body), encoding: encodingOf(body), dimensions: dimensionsOf(body) }
}

function wrong(member: string, wanted: string, found: JsonValue | undefined): ModelError {
  return new ModelError(400, `"${member}" must be ${wanted}, not ${describe(found)}`)
}

const FORMS = 'a text, a list of texts, a list of tokens or a list of such lists'

function inputsOf(body: JsonObject): readonly EmbeddingInput[] {
  const input = body.get('input')
  if (typeof input === 'string') return [input]
  if (!Array.isArray(input) || input.length === 0) throw wrong('input', FORMS, input)
  if (isTokens(input)) return [input]
  if (input.length > MAX_INPUTS)
    throw new ModelError(400, `"input" has ${input.length} elements, ${MAX_INPUTS} are the most`)
  const [first] = input
  const isText = typeof first === 'string'
  const fits = (each: JsonValue) =>
    isText ? typeof each === 'string' : Array.isArray(each) && isTokens(each)
  const at = input.findIndex((each) => !fits(each))
  if (at === -1) return input as EmbeddingInput[]
  throw wrong(`input[${at}]`, isText ? 'a text, as the first is' : 'a list of tokens', input[at])
}

function isTokens(list: readonly JsonValue[]): list is number[] {
  return list.length > 0 && list.every((token) => Number.isInteger(token))
}

function encodingOf(body: JsonObject): EmbeddingCall['encoding'] {
  const encoding = body.get('encoding_format') ?? 'float'
  if (encoding === 'float' || encoding === 'base64') return encoding
  throw wrong('encoding_format', '"float" or "base64"', encoding)
}

function dimensionsOf(body: JsonObject): number | undefined {
  const dimensions = body.get('dimensions') ?? undefined
  if (dimensions === undefined) return undefined
  if (typeof dimensions === 'number' && Number.isInteger(dimensions) && dimensions >= 1) return dimensions
  throw wrong('dimensions', 'a whole number from 1', dimensions)
}

export function writeEmbeddings({ model, encoding }: EmbeddingCall, { vectors, tokens }: Embeddings): string {
  const data = vectors.map(
    (vector, index) => `{"object":"embedding","index":${index},"embedding":${written(vector, encoding)}}`,
  )
  const usage = `{"prompt_tokens":${tokens},"total_tokens":${tokens}}`
  return `{"object":"list","data":[${data.join()}],"model":${JSON.stringify(model)},"usage":${usage}}`
}

function written(vector: Float32Array, encoding: EmbeddingCall['encoding']): string {
  if (encoding === 'float') {
    const [row = '[]'] = writeRows(
      { datatype: 'FP32', shape: [1, vector.length], data: vector },
      { nonFinite: 'null' },
    )
    return row
  }
  return `"${Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')}"`
}

/** Whether callers of this path expect errors in OpenAI's form. */
export function isOpenaiPath(path: string): boolean {
  return /^\/v1\/(?!models(?:[/?]|$))/.test(path)
}

/** An error in OpenAI's form, by which its SDKs choose the class of the exception. */
export function describeError(status: number, message: string): string {
  const type = status < 500 ? 'invalid_request_error' : 'server_error'
  const isUnknown = status === 404
  const [param, code] = isUnknown ? ['model', 'model_not_found'] : [null, null]
  return JSON.stringify({ error: { message, type, param, code } })
}

/** What OpenAI's lists have of a model; undefined where it makes no embeddings. */
export function describeModel({ name, embedder }: Served): Readonly<Record<string, unknown>> | undefined {
  if (!embedder) return undefined
  return {
    id: name,
    object: 'model',
    created: STARTED,
    owned_by: 'infergate',
    max_model_len: embedder.maxTokens,
  }
}

const STARTED = Math.round(performance.timeOrigin / 1000)

/** `GET /v1/models`: the names of all, as TensorFlow Serving's clients want them, and the embedding models for OpenAI's. */
export function describeModels(repository: Repository): string {
  const data = [...repository.loaded().values()].flatMap(
    ([newest]) => (newest && describeModel(newest)) ?? [],
  )
  const models = repository.names()
  return JSON.stringify(data.length === 0 ? { models } : { models, object: 'list', data })
}
