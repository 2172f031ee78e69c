/** Questions of OpenAI's API: chats and texts to embed, told apart by their words. */
import type { GenerationOptions } from './dialect.ts'

const WORDS = [
  ...[
    'account',
    'answer',
    'bridge',
    'bucket',
    'cache',
    'circle',
    'cloud',
    'corner',
    'device',
    'engine',
    'field',
  ],
  ...[
    'forest',
    'garden',
    'graph',
    'harbour',
    'island',
    'journey',
    'kernel',
    'ladder',
    'letter',
    'market',
    'matrix',
  ],
  ...[
    'memory',
    'mirror',
    'model',
    'number',
    'ocean',
    'paper',
    'planet',
    'query',
    'river',
    'signal',
    'table',
    'tensor',
  ],
]

/** A text of so many words for a number; no two numbers have the same. */
export function textOf(number: number, words: number): string {
  let state = Math.imul(number + 1, 2_654_435_761) >>> 0
  const picked = Array.from({ length: Math.max(0, words - 1) }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return WORDS[Math.floor((state / 2 ** 32) * WORDS.length)]
  })
  return [number, ...picked].join(' ')
}

export const OPENAI_PATHS = {
  stream: '/v1/chat/completions',
  chat: '/v1/chat/completions',
  embeddings: '/v1/embeddings',
} as const

/** `rows`: of which a chat has one, its prompt. */
export function openaiJson(model: string, rows: readonly number[], options: GenerationOptions): Buffer {
  const { endpoint, maxTokens, temperature, words } = options
  if (endpoint === 'embeddings')
    return Buffer.from(JSON.stringify({ model, input: rows.map((row) => textOf(row, words)) }))
  const stream = endpoint === 'stream' ? { stream: true, stream_options: { include_usage: true } } : {}
  const messages = [{ role: 'user', content: textOf(rows[0] ?? 0, words) }]
  return Buffer.from(JSON.stringify({ model, messages, max_tokens: maxTokens, temperature, ...stream }))
}
