/** Makes the question of each key in the dialect that was chosen. */
import type { RawPairs } from '../../core/call.ts'
import type { Question, Questioner } from '../question.ts'
import { type DialectOptions, isGrpcProtocol } from './dialect.ts'
import { rowsOf } from './input.ts'
import { oipBinary, oipJson, oipMessage } from './oip.ts'
import { OPENAI_PATHS, openaiJson } from './openai.ts'
import { tfservingJson, tfservingMessage } from './tfserving.ts'

export function questioner(options: DialectOptions, keys: number): Questioner {
  const { template, protocol, path, rows, isHttp2 } = options
  const common = {
    method: 'POST',
    target: path ?? pathOf(options),
    rows: rowCount(options),
    transport: isHttp2 || isGrpcProtocol(protocol) ? 'grpc' : 'http',
  } as const
  const headers = headersOf(options)
  if (template !== undefined) {
    const filled = (key: number) => Buffer.from(template.replaceAll('{{key}}', String(key)))
    return (key) => ({ ...common, headers, body: filled(key) })
  }
  const body = bodyOf(options)
  return (key): Question => {
    const made = body(rowsOf(key, { rows, overlap: options.overlap }, keys))
    if (Buffer.isBuffer(made)) return { ...common, headers, body: made }
    const length = ['inference-header-content-length', String(made.headerBytes)]
    return { ...common, headers: [...headers, ...length], body: made.body }
  }
}

/** A chat has one prompt. */
function rowCount({ protocol, generation, rows }: DialectOptions): number {
  return protocol === 'openai' && generation.endpoint !== 'embeddings' ? 1 : rows
}

function bodyOf(options: DialectOptions): (rows: readonly number[]) => Buffer | ReturnType<typeof oipBinary> {
  const { protocol, model, inputs, generation } = options
  switch (protocol) {
    case 'tfserving':
      return (rows) => tfservingJson(rows, inputs)
    case 'tfserving-grpc':
      return (rows) => tfservingMessage(model, rows, inputs)
    case 'oip':
      return (rows) => oipJson(rows, inputs)
    case 'oip-binary':
      return (rows) => oipBinary(rows, inputs)
    case 'oip-grpc':
      return (rows) => oipMessage(model, rows, inputs)
    case 'openai':
      return (rows) => openaiJson(model, rows, generation)
  }
}

function pathOf({ protocol, model, generation }: DialectOptions): string {
  const name = encodeURIComponent(model)
  switch (protocol) {
    case 'tfserving':
      return `/v1/models/${name}:predict`
    case 'tfserving-grpc':
      return '/tensorflow.serving.PredictionService/Predict'
    case 'oip':
    case 'oip-binary':
      return `/v2/models/${name}/infer`
    case 'oip-grpc':
      return '/inference.GRPCInferenceService/ModelInfer'
    case 'openai':
      return OPENAI_PATHS[generation.endpoint]
  }
}

const CONTENT_TYPES: Readonly<Partial<Record<DialectOptions['protocol'], string>>> = {
  'oip-binary': 'application/octet-stream',
  'oip-grpc': 'application/grpc',
  'tfserving-grpc': 'application/grpc',
}

function headersOf({ protocol, headers }: DialectOptions): RawPairs {
  const isGiven = headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'content-type')
  return isGiven ? headers : ['content-type', CONTENT_TYPES[protocol] ?? 'application/json', ...headers]
}
