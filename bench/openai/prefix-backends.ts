/**
 * Servers of a language model with prefix caches, of the simulator but in real time and over HTTP, each at a port of its own in
 * one process. `GET /counts` of any tells of all: blocks of prompts, those that were in a cache, and how unevenly they are busy.
 *
 *   node bench/openai/prefix-backends.ts PORT...
 */
import { hash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { ModelServer } from '../sim/prefix/backend.ts'
import { WORLD } from '../sim/prefix/run.ts'

export interface PrefixCounts {
  readonly asked: number
  readonly hits: number
  /** Sum over the looks of how much more than the mean the busiest had to do, as a part of the mean. */
  readonly excess: number
  readonly looks: number
}

/** Characters of a block: some sixty tokens. */
export const BLOCK_CHARS = 256

const LOOK_MS = 50
const timers = {
  now: () => performance.now(),
  at: (ms: number, run: () => void) => void setTimeout(run, ms - performance.now()),
}
const servers: ModelServer[] = []
let excess = 0
let looks = 0

/** The blocks of a prompt, each with the ones before it in its name. */
function blocksOf(text: string): string[] {
  const blocks: string[] = []
  for (let at = 0; at + BLOCK_CHARS <= text.length; at += BLOCK_CHARS)
    blocks.push(hash('sha1', (blocks.at(-1) ?? '') + text.slice(at, at + BLOCK_CHARS)))
  return blocks
}

function look(): void {
  const loads = servers.map(({ outstanding }) => outstanding)
  const mean = loads.reduce((a, b) => a + b, 0) / loads.length
  if (mean < 1) return
  excess += Math.max(...loads) / mean - 1
  looks++
}

function counts(): PrefixCounts {
  const sum = (of: (server: ModelServer) => number) =>
    servers.reduce((total, server) => total + of(server), 0)
  return { asked: sum(({ asked }) => asked), hits: sum(({ hits }) => hits), excess, looks }
}

/** What a server says of a prompt whose tokens it is asked for: four characters each. */
function tokensOf(text: string): number[] {
  return Array.from({ length: Math.floor(text.length / 4) }, (_, i) => {
    let token = 0
    for (let at = 4 * i; at < 4 * i + 4; at++) token = (token * 31 + text.charCodeAt(at)) % 50_000
    return token
  })
}

async function promptOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const piece of request) text += String(piece)
  const { messages } = JSON.parse(text) as { messages: readonly { content: string }[] }
  return messages.map(({ content }) => content).join('')
}

const ANSWER = JSON.stringify({
  ...{ id: 'chatcmpl-1', object: 'chat.completion', created: 1_700_000_000, model: 'm' },
  choices: [{ index: 0, message: { role: 'assistant', content: 'Yes.' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1024, completion_tokens: 2, total_tokens: 1026 },
})

function listen(port: number): void {
  const server = new ModelServer(timers, WORLD.plan)
  servers.push(server)
  createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    response.setHeader('content-type', 'application/json')
    if (request.method !== 'POST') response.end(JSON.stringify(counts()))
    else accept(server, request, response).catch((error: unknown) => response.destroy(error as Error))
  }).listen(port, '127.0.0.1')
}

async function accept(
  server: ModelServer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const text = await promptOf(request)
  if (request.url?.endsWith('/render')) response.end(JSON.stringify({ token_ids: tokensOf(text) }))
  else
    server.accept({
      prompt: { blocks: blocksOf(text) },
      cameAt: performance.now(),
      done: () => response.end(ANSWER),
    })
}

if (import.meta.main) {
  for (const port of process.argv.slice(2)) listen(Number(port))
  setInterval(look, LOOK_MS)
}
