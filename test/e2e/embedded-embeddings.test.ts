/** A sentence encoder of the gateway's own, asked by the official SDK: each text is embedded once, however it is asked for. */
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { modelFile } from '../support/model-server.ts'

let gateway: RunningGateway
let client: OpenAI
beforeAll(async () => {
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      models: [
        {
          name: 'sentences',
          kind: 'embedding',
          source: modelFile('sentences'),
          embedding: { dimensions: [16], maxTokens: 32, truncate: true },
          cache: { rows: 'always', scope: 'shared' },
        },
      ],
    },
  })
  client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none', maxRetries: 0 })
  await gateway.up()
})
afterAll(async () => {
  await gateway?.stop()
})

async function embed(body: Omit<OpenAI.EmbeddingCreateParams, 'model'>) {
  const { data, response } = await client.embeddings.create({ model: 'sentences', ...body }).withResponse()
  return { ...data, cache: response.headers.get('cache-status') }
}

it('embeds a text once, and of a batch what is not known', async () => {
  const first = await embed({ input: 'sort a list' })
  expect(first.cache).toContain('fwd=miss')
  expect(first.data[0]?.embedding).toHaveLength(64)
  const again = await embed({ input: ['sort a list'], encoding_format: 'float', user: 'me' })
  expect(again.cache).toContain('; hit;')
  expect(again.data[0]?.embedding.map(Math.fround)).toEqual(first.data[0]?.embedding.map(Math.fround))
  expect(again.usage).toEqual(first.usage)
  const batch = await embed({ input: ['an array', 'sort a list', 'an array'] })
  expect(batch.cache).toContain('hit=1')
  expect(batch.cache).toContain('dup=1')
  expect(batch.data[1]?.embedding).toEqual(first.data[0]?.embedding)
  expect(batch.data[2]?.embedding).toEqual(batch.data[0]?.embedding)
})

it('has the settings of the YAML, errors that the SDK knows, and a list of models', async () => {
  expect((await embed({ input: 'sort a list', dimensions: 16 })).data[0]?.embedding).toHaveLength(16)
  await expect(embed({ input: 'sort a list', dimensions: 17 })).rejects.toThrow(OpenAI.BadRequestError)
  expect((await embed({ input: 'list '.repeat(100) })).usage.prompt_tokens).toBe(32)
  const other = client.embeddings.create({ model: 'other', input: 'a' })
  await expect(other).rejects.toMatchObject({ status: 404, code: 'model_not_found' })
  const listed = await client.models.list()
  expect(listed.data.map(({ id }) => id)).toEqual(['sentences'])
  const predicted = await gateway.post('/v1/models/sentences:predict', { instances: ['sort a list'] })
  expect(predicted.status).toBe(200)
})
