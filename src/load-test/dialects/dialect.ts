/** What a load test is told of the questions of a dialect. Plain data, so that it passes to threads. */
import type { RawPairs } from '../../core/call.ts'
import type { RowInput } from './input.ts'

export const LOAD_PROTOCOLS = [
  'tfserving',
  'oip',
  'oip-binary',
  'oip-grpc',
  'tfserving-grpc',
  'openai',
] as const

export type LoadProtocol = (typeof LOAD_PROTOCOLS)[number]

/** What is asked of a server of OpenAI's API: a chat as a stream or in one piece, or vectors. */
export const ENDPOINTS = ['stream', 'chat', 'embeddings'] as const

export type OpenAiEndpoint = (typeof ENDPOINTS)[number]

export interface DialectOptions {
  readonly protocol: LoadProtocol
  readonly model: string
  /** Of each call. */
  readonly rows: number
  /** The share of its rows that the batch of a key has in common with that of the next key. */
  readonly overlap: number
  /** What a row consists of. */
  readonly inputs: readonly RowInput[]
  /** Besides those of the dialect. */
  readonly headers: RawPairs
  /** Over HTTP/2, though the dialect would do with HTTP/1.1. */
  readonly isHttp2: boolean
  /** In place of the dialect's own. */
  readonly path: string | undefined
  /** In place of the dialect's own: a body in which `{{key}}` becomes the number of the key. */
  readonly template: string | undefined
  readonly generation: GenerationOptions
}

export interface GenerationOptions {
  readonly endpoint: OpenAiEndpoint
  readonly maxTokens: number
  readonly temperature: number
  /** Words of a prompt, or of a text that is embedded. */
  readonly words: number
}

export function isGrpcProtocol(protocol: LoadProtocol): boolean {
  return protocol.endsWith('-grpc')
}
