/** The official SDK of npm through the gateway, without a change: chats, streams, tools and responses, first and kept. */
import OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { type ChatServer, piecesFor, startChatServer } from '../support/chat-server.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'

let server: ChatServer
let gateway: RunningGateway
let client: OpenAI
let prompts = 0

beforeAll(async () => {
  server = await startChatServer()
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      pools: { main: { backends: [{ url: server.url }], health: { path: 'off' } } },
      routes: [{ match: { path: '/v1/*' }, protocol: 'openai', pool: 'main', cache: {} }],
    },
  })
  client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'test', maxRetries: 0 })
})
afterEach(() => server.reset())
afterAll(async () => {
  await gateway?.stop()
  server?.close()
})

function asking(more: object = {}) {
  const messages = [{ role: 'user' as const, content: `prompt ${++prompts}` }]
  return { model: 'm', temperature: 0, messages, ...more }
}

it('chats, in one piece and as a stream, first and kept', async () => {
  const asked = asking()
  const said = piecesFor(asked.messages[0]?.content ?? '').join('')
  const first = await client.chat.completions.create(asked)
  expect(first.choices[0]?.message.content).toBe(said)
  for (const include_usage of [false, true]) {
    let text = ''
    let tokens: number | undefined
    const stream = await client.chat.completions.create({
      ...asked,
      stream: true,
      stream_options: { include_usage },
    })
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      tokens = chunk.usage?.total_tokens
    }
    expect(text).toBe(said)
    expect(tokens).toBe(include_usage ? first.usage?.total_tokens : undefined)
  }
  expect(server.calls.length).toBe(1)
})

it('gathers what a stream says, tools included, each time', async () => {
  const tools = [{ type: 'function' as const, function: { name: 'weather', parameters: {} } }]
  server.onCall = (call) => {
    const chunk = (delta: object, finish_reason: string | null = null) => ({
      id: 'chatcmpl-1',
      object: 'chat.completion.chunk',
      created: 1,
      model: 'm',
      choices: [{ index: 0, delta, finish_reason }],
    })
    const part = (more: object) => chunk({ tool_calls: [{ index: 0, ...more }] })
    call.send(
      chunk({ role: 'assistant', content: null }),
      part({ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '' } }),
      part({ function: { arguments: '{"city":' } }),
      part({ function: { arguments: '"Wien"}' } }),
      chunk({}, 'tool_calls'),
      { ...chunk({}), choices: [], usage: { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14 } },
      'data: [DONE]\n\n',
    )
    call.response.end()
  }
  const asked = asking({ tools })
  const wanted = [
    { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Wien"}' } },
  ]
  for (let i = 0; i < 2; i++) {
    const message = await client.chat.completions.stream(asked).finalMessage()
    expect(message.tool_calls).toMatchObject(wanted)
  }
  const whole = await client.chat.completions.create(asked)
  expect(whole.choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { tool_calls: wanted } })
  expect(server.calls.length).toBe(1)
})

it('raises the error in which a stream ends whose server dies', async () => {
  server.onCall = (call) => {
    call.say('one', ' two')
    setImmediate(() => call.response.socket?.destroy())
  }
  let text = ''
  const read = async () => {
    for await (const chunk of await client.chat.completions.create({ ...asking(), stream: true }))
      text += chunk.choices[0]?.delta.content ?? ''
  }
  await expect(read()).rejects.toThrow(OpenAI.APIError)
  expect(text).toBe('one two')
})

it('reads responses that are not stored, in one piece and as events', async () => {
  server.onCall = ({ response, body }) => {
    expect(body['store']).toBe(false)
    const content = [{ type: 'output_text', text: 'Hello, wide world', annotations: [] }]
    response.setHeader('content-type', 'application/json')
    response.end(
      JSON.stringify({
        id: 'resp_1',
        object: 'response',
        created_at: 1,
        status: 'completed',
        error: null,
        model: 'm',
        output: [{ id: 'msg_1', type: 'message', role: 'assistant', status: 'completed', content }],
        usage: { input_tokens: 1, output_tokens: 2, total_tokens: 3 },
      }),
    )
  }
  const asked = { model: 'm', temperature: 0, store: false, input: `prompt ${++prompts}` }
  const first = await client.responses.create(asked)
  const kept = await client.responses.create(asked)
  expect([first.output_text, kept.output_text]).toEqual(['Hello, wide world', 'Hello, wide world'])
  expect(kept.id).not.toBe(first.id)
  let text = ''
  for await (const event of await client.responses.create({ ...asked, stream: true }))
    if (event.type === 'response.output_text.delta') text += event.delta
  expect(text).toBe('Hello, wide world')
  expect((await client.responses.stream(asked).finalResponse()).output_text).toBe('Hello, wide world')
  expect(server.calls.length).toBe(1)
  await client.responses.create({ ...asked, previous_response_id: 'resp_0' })
  expect(server.calls.length).toBe(2)
})
