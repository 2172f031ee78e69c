/**
 * A server of a language model in a process of its own, which takes no longer than its script says: chats as JSON or as a stream of
 * events, and embeddings, one batch at a time. `GET /counts` tells how often it was asked.
 *
 * The first two words of each event of a stream are microseconds of the monotonic clock, which all processes of a machine share: when
 * the request had arrived, and when the event was sent. A request with the field `x-at-once` gets its events without waits.
 *
 *   node bench/openai/backend.ts PORT SCRIPT     SCRIPT: JSON, as `Script` has it
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Script {
  /** Events of a stream that have text. */
  readonly events: number
  /** Milliseconds until the first event, and between two of them; 0: all at once. */
  readonly firstMs: number
  readonly everyMs: number
  /** Of an embedding. */
  readonly dimensions: number
  /** Milliseconds that an embedding takes. */
  readonly textMs: number
}

export const DEFAULT: Script = { events: 200, firstMs: 0, everyMs: 0, dimensions: 8, textMs: 0 }

export const AT_ONCE = 'x-at-once'

export const microsNow = (): number => Number(process.hrtime.bigint() / 1000n)

interface Asked {
  readonly stream?: boolean
  readonly input?: string | readonly string[]
}

const MODEL = 'm'
const ANSWER = 'The quick brown fox jumps over the lazy dog. '.repeat(4)
let asked = 0
let ids = 0

function headOf(object: string): object {
  ids++
  return { id: `chatcmpl-${String(ids).padStart(24, '0')}`, object, created: 1_700_000_000, model: MODEL }
}

const usageOf = (tokens: number) => ({
  prompt_tokens: 32,
  completion_tokens: tokens,
  total_tokens: 32 + tokens,
})

function chat(response: ServerResponse): void {
  const message = { role: 'assistant', content: ANSWER }
  const choices = [{ index: 0, message, logprobs: null, finish_reason: 'stop' }]
  json(response, { ...headOf('chat.completion'), choices, usage: usageOf(40) })
}

async function stream(
  response: ServerResponse,
  { events, firstMs, everyMs }: Script,
  cameAt: number,
): Promise<void> {
  const head = headOf('chat.completion.chunk')
  const send = (choices: readonly object[], more = {}) =>
    response.write(`data: ${JSON.stringify({ ...head, choices, ...more })}\n\n`)
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  if (firstMs > 0) await sleep(firstMs)
  for (let i = 0; i < events && !response.destroyed; i++) {
    if (i > 0 && everyMs > 0) await sleep(everyMs)
    const content = `${cameAt} ${microsNow()} token `
    send([{ index: 0, delta: { content }, logprobs: null, finish_reason: null }])
  }
  send([{ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' }])
  send([], { usage: usageOf(events) })
  response.end('data: [DONE]\n\n')
}

/** One batch at a time. */
let busy = Promise.resolve()

async function embeddings(response: ServerResponse, { input = '' }: Asked, script: Script): Promise<void> {
  const texts = typeof input === 'string' ? [input] : input
  const before = busy
  const { promise, resolve } = Promise.withResolvers<void>()
  busy = promise
  await before
  if (script.textMs > 0) await sleep(script.textMs * texts.length)
  resolve()
  const data = texts.map((text, index) => ({ object: 'embedding', index, embedding: vectorOf(text, script) }))
  const tokens = texts.length * 8
  json(response, {
    object: 'list',
    data,
    model: MODEL,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  })
}

function vectorOf(text: string, { dimensions }: Script): number[] {
  return Array.from({ length: dimensions }, (_, i) => Math.fround(Math.sin(text.length + i * 0.37) / 10))
}

function json(response: ServerResponse, value: object): void {
  const body = JSON.stringify(value)
  response
    .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    .end(body)
}

async function answer(request: IncomingMessage, response: ServerResponse, script: Script): Promise<void> {
  const cameAt = microsNow()
  let text = ''
  for await (const piece of request) text += String(piece)
  const { url, method } = request
  if (method !== 'POST') {
    json(response, url === '/counts' ? { asked } : { object: 'list', data: [{ id: MODEL, object: 'model' }] })
    return
  }
  asked++
  const body = JSON.parse(text) as Asked
  if (url?.endsWith('/embeddings')) await embeddings(response, body, script)
  else if (url?.endsWith('/completions'))
    await (body.stream === true ? stream(response, paced(request, script), cameAt) : chat(response))
  // A V1 answer of 300 bytes.
  else
    json(response, {
      predictions: [Array.from({ length: 31 }, (_, i) => Number((0.1 + i / 100).toFixed(5)))],
    })
}

/** To warm up what is between, a caller asks for streams that are over at once. */
function paced({ headers }: IncomingMessage, script: Script): Script {
  return AT_ONCE in headers ? { ...script, firstMs: 0, everyMs: 0 } : script
}

if (import.meta.main) {
  const [port, script] = process.argv.slice(2)
  const said = { ...DEFAULT, ...(JSON.parse(script ?? '{}') as Partial<Script>) }
  createServer({ keepAliveTimeout: 60_000, noDelay: true }, (request, response) => {
    answer(request, response, said).catch((error: unknown) => response.destroy(error as Error))
  }).listen(Number(port), '127.0.0.1')
}
