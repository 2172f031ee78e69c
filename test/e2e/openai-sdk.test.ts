/** The official SDK of OpenAI runs through the gateway as it runs against a server. */
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { base64, type EmbeddingsBackend, startEmbeddings, vectorOf } from '../support/embeddings.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'

let embeddings: EmbeddingsBackend
let chat: Server
/** What the chat server answers next. */
let answer: (response: ServerResponse) => void
let asked = 0
let gateway: RunningGateway
let client: OpenAI

beforeAll(async () => {
  embeddings = await startEmbeddings()
  chat = createServer((request, response) => {
    request.resume()
    asked++
    answer(response)
  }).listen(0, '127.0.0.1')
  await once(chat, 'listening')
  const url = `http://127.0.0.1:${(chat.address() as AddressInfo).port}`
  const pool = (to: string) => ({
    backends: [{ url: to }],
    health: { path: 'off' as const },
    retry: { max: 0 },
  })
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      cache: { tiers: [{ name: 'memory', type: 'memory', maxBytes: '16MiB' }] },
      pools: { embeddings: pool(embeddings.url), chat: pool(url) },
      routes: [
        {
          name: 'embeddings',
          match: { path: '/v1/*', model: 'embed' },
          protocol: 'openai',
          pool: 'embeddings',
          cache: { rows: 'always', scope: 'shared' },
        },
        { name: 'chat', match: { path: '/v1/*', model: 'chat' }, protocol: 'openai', pool: 'chat' },
      ],
    },
  })
  client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'key', maxRetries: 0 })
})
beforeEach(() => {
  asked = 0
  embeddings.inputs.length = 0
})
afterAll(async () => {
  await gateway?.stop()
  await embeddings?.close()
  chat?.closeAllConnections()
  chat?.close()
})

const ask = { model: 'chat', messages: [{ role: 'user' as const, content: 'hi' }] }

describe('embeddings', () => {
  it('come as vectors, whatever encoding the SDK asks for by itself', async () => {
    const inputs = ['one', 'two']
    const { data, usage } = await client.embeddings.create({ model: 'embed', input: inputs })
    for (const [i, { embedding, index }] of data.entries()) {
      expect(index).toBe(i)
      expect(base64(Float32Array.from(embedding))).toBe(base64(vectorOf(inputs[i] as string)))
    }
    expect(usage).toEqual({ prompt_tokens: 4, total_tokens: 4 })
    const as = await client.embeddings.create({
      model: 'embed',
      input: ['two', 'one'],
      encoding_format: 'float',
      user: 'u',
    })
    expect(as.data.map(({ embedding }) => base64(Float32Array.from(embedding)))).toEqual(
      ['two', 'one'].map((text) => base64(vectorOf(text))),
    )
    // The SDK asks for base64 where its user asks for nothing.
    expect(embeddings.inputs).toEqual([inputs])
  })
})

describe('errors', () => {
  it('of a server are thrown as it has written them', async () => {
    const failing = client.embeddings.create({ model: 'embed', input: 'refuse' })
    await expect(failing).rejects.toMatchObject({
      status: 400,
      type: 'invalid_request_error',
      param: 'input',
    })
  })

  it('of the gateway are thrown as those of a server', async () => {
    const unknown = client.embeddings.create({ model: 'nobody', input: 'x' })
    await expect(unknown).rejects.toBeInstanceOf(OpenAI.NotFoundError)
    await expect(unknown).rejects.toMatchObject({ code: 'model_not_found', param: 'model' })
  })
})

describe('retries', () => {
  it('are made for a server that asks for them, and not where the gateway knows better', async () => {
    answer = (response) => {
      if (asked < 3)
        return void response.writeHead(429, { 'retry-after-ms': '1' }).end('{"error":{"message":"slow"}}')
      response.setHeader('content-type', 'application/json')
      response.end('{"id":"c","object":"chat.completion","choices":[],"created":1,"model":"chat"}')
    }
    const patient = client.withOptions({ maxRetries: 3 })
    expect(await patient.chat.completions.create(ask)).toMatchObject({ id: 'c' })
    expect(asked).toBe(3)
    // Nothing is kept, and that does not change by trying again.
    const options = { headers: { 'cache-control': 'only-if-cached' } }
    await expect(
      patient.embeddings.create({ model: 'embed', input: 'unkept' }, options),
    ).rejects.toMatchObject({ status: 504 })
    await eventually(async () => {
      expect(await gateway.metric('infergate_calls_total', { route: 'embeddings', status: '5xx' })).toBe(1)
    })
  })

  it('end with the time-out of the SDK', async () => {
    answer = () => {}
    const hasty = client.chat.completions.create(ask, { timeout: 300 })
    await expect(hasty).rejects.toBeInstanceOf(OpenAI.APIConnectionTimeoutError)
  })
})

it('streams are passed on, event by event', async () => {
  answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const content of ['a', 'b', 'c']) {
      const chunk = { id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content } }] }
      response.write(`data: ${JSON.stringify(chunk)}\n\n`)
    }
    response.end('data: [DONE]\n\n')
  }
  const words: (string | null | undefined)[] = []
  for await (const chunk of await client.chat.completions.create({ ...ask, stream: true }))
    words.push(chunk.choices[0]?.delta.content)
  expect(words).toEqual(['a', 'b', 'c'])
})
