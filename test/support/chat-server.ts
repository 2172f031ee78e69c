/**
 * A small server of chats, text completions and responses, as vLLM and OpenAI have them. It answers by itself, with words that depend
 * on what it was asked, or lets the test write each event.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ChatCall {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly body: ChatBody
  /** The caller's end of the connection was closed before the answer's end. */
  isCut: boolean
  /** Begins a stream, if it has not begun, and writes events; strings as they are. */
  send(...events: readonly (object | string)[]): void
  /** Writes a chunk with a piece of text, for each of the pieces. */
  say(...pieces: readonly string[]): void
  /** Ends a stream as a server does. */
  finish(reason?: string): void
}

export interface ChatBody {
  readonly model?: string
  readonly stream?: boolean | null
  readonly stream_options?: { readonly include_usage?: boolean } | null
  readonly messages?: readonly { readonly content: string }[]
  readonly prompt?: string
  readonly input?: string
  readonly tools?: readonly unknown[]
  readonly [member: string]: unknown
}

export interface ChatServer {
  readonly url: string
  /** All calls for a generation, the oldest first. */
  readonly calls: readonly ChatCall[]
  /** Calls are left to the test from now on. */
  onCall: ((call: ChatCall) => void) | undefined
  reset(): void
  close(): void
}

let ids = 0

export async function startChatServer(): Promise<ChatServer> {
  let calls: ChatCall[] = []
  const server: Server = createServer((request, response) => void answer(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const running: ChatServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get calls() {
      return calls
    },
    onCall: undefined,
    reset() {
      calls = []
      running.onCall = undefined
    },
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
  return running

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of request) text += String(chunk)
    if (request.method !== 'POST') return void response.end('{}')
    const call = callOf(request, response, JSON.parse(text) as ChatBody)
    calls.push(call)
    if (running.onCall) running.onCall(call)
    else answered(call)
  }
}

function callOf(request: IncomingMessage, response: ServerResponse, body: ChatBody): ChatCall {
  const head = {
    id: `chatcmpl-${++ids}`,
    object: 'chat.completion.chunk',
    created: 1700000000 + ids,
    model: body.model,
  }
  const wantsUsage = body.stream_options?.include_usage === true
  const empty = wantsUsage ? { usage: null } : {}
  let said = 0
  const call: ChatCall = {
    request,
    response,
    body,
    isCut: false,
    send(...events) {
      if (!response.headersSent) {
        response.writeHead(200, {
          'content-type': 'text/event-stream; charset=utf-8',
          'x-request-id': head.id,
          'x-call': head.id,
        })
        response.flushHeaders()
      }
      for (const event of events)
        response.write(typeof event === 'string' ? event : `data: ${JSON.stringify(event)}\n\n`)
    },
    say(...pieces) {
      for (const content of pieces) {
        const delta = said++ === 0 ? { role: 'assistant', content } : { content }
        call.send({ ...head, choices: [{ index: 0, delta, logprobs: null, finish_reason: null }], ...empty })
      }
    },
    finish(reason = 'stop') {
      call.send({
        ...head,
        choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: reason }],
        ...empty,
      })
      if (wantsUsage) call.send({ ...head, choices: [], usage: usageOf(said) })
      call.send('data: [DONE]\n\n')
      response.end()
    },
  }
  response.on('close', () => {
    call.isCut = !response.writableFinished
  })
  return call
}

function usageOf(tokens: number) {
  return { prompt_tokens: 7, completion_tokens: tokens, total_tokens: 7 + tokens }
}

/** The pieces of the answer to a call. */
export function piecesFor(prompt: string): readonly string[] {
  return ['', ...`You said: ${prompt}. Is that so?`.split(/(?= )/)]
}

function answered(call: ChatCall): void {
  const { body, response } = call
  const pieces = piecesFor(body.messages?.at(-1)?.content ?? '')
  if (body.stream === true) {
    call.say(...pieces)
    call.finish()
    return
  }
  const message = { role: 'assistant', content: pieces.join(''), refusal: null }
  response.setHeader('content-type', 'application/json')
  response.end(
    JSON.stringify({
      id: `chatcmpl-${++ids}`,
      object: 'chat.completion',
      created: 1700000000 + ids,
      model: body.model,
      choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }],
      usage: usageOf(pieces.length),
    }),
  )
}
