/** A server with embeddings: a vector is a function of its input, and so is what it costs. Real sockets. */
import { type ScriptedBackend, startBackend } from './backend.ts'

type Input = string | readonly number[]

export interface EmbeddingsBackend extends ScriptedBackend {
  /** The inputs of each request, in order. */
  readonly inputs: Input[][]
  /** Answers with numbers whatever it is asked for. */
  knowsOnlyFloats: boolean
}

export async function startEmbeddings(dimensions = 4): Promise<EmbeddingsBackend> {
  const inputs: Input[][] = []
  const backend: EmbeddingsBackend = Object.assign(
    await startBackend(({ body }, response) => {
      const { input, encoding_format, model } = JSON.parse(body.toString()) as {
        input: Input | Input[]
        encoding_format?: string
        model: string
      }
      const rows = (typeof input === 'string' || typeof input[0] === 'number' ? [input] : input) as Input[]
      inputs.push(rows)
      response.setHeader('content-type', 'application/json')
      if (rows.includes('refuse')) {
        const error = { message: 'refused', type: 'invalid_request_error', param: 'input', code: null }
        return void response.writeHead(400).end(JSON.stringify({ error }))
      }
      const isBase64 = encoding_format === 'base64' && !backend.knowsOnlyFloats
      const data = rows.map((row, index) => {
        const vector = vectorOf(row, dimensions)
        if (row === 'fail') vector.fill(Number.NaN)
        return { object: 'embedding', index, embedding: isBase64 ? base64(vector) : [...vector] }
      })
      const tokens = rows.reduce((sum, row) => sum + tokensOf(row), 0)
      response.end(
        JSON.stringify({
          object: 'list',
          data,
          model,
          usage: { prompt_tokens: tokens, total_tokens: tokens },
        }),
      )
    }),
    { inputs, knowsOnlyFloats: false },
  )
  return backend
}

export function vectorOf(input: Input, dimensions = 4): Float32Array {
  const bytes = Buffer.from(JSON.stringify(input))
  return Float32Array.from({ length: dimensions }, (_, i) =>
    Math.sin(bytes.reduce((sum, byte, at) => (sum * 31 + byte * (at + i + 1)) % 65_521, 7)),
  )
}

export function tokensOf(input: Input): number {
  return typeof input === 'string' ? input.split(' ').length + 1 : input.length
}

export function base64(vector: Float32Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')
}
