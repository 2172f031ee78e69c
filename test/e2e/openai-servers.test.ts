/** Servers with OpenAI's API are found well, and their deployments are found out, without a word of it in the settings. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'

let server: Server
let gateway: RunningGateway
let isLoading = true
let answered = 0
let listed = {
  id: 'm',
  object: 'model',
  created: 1,
  owned_by: 'vllm',
  root: '/models/one',
  max_model_len: 512,
}
const paths: string[] = []

beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume()
    paths.push(request.url ?? '')
    response.setHeader('content-type', 'application/json')
    if (request.url === '/health') return void response.writeHead(isLoading ? 503 : 200).end()
    if (request.url === '/v1/models')
      return void response.end(JSON.stringify({ object: 'list', data: [listed] }))
    if (request.url === '/v1/load_lora_adapter') return void response.end('{}')
    if (request.url !== '/v1/embeddings') return void response.writeHead(404).end('{"detail":"Not Found"}')
    answered++
    const data = [{ object: 'embedding', index: 0, embedding: [answered] }]
    response.end(
      JSON.stringify({ object: 'list', data, model: 'm', usage: { prompt_tokens: 1, total_tokens: 1 } }),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  gateway = await startGateway({ args: ['--upstream', url] })
})
afterAll(async () => {
  await gateway?.stop()
  server?.closeAllConnections()
  server?.close()
})

const embed = async () => {
  const { status, json, headers } = await gateway.post('/v1/embeddings', { model: 'm', input: 'text' })
  const { data } = json as { data: { embedding: number[] }[] }
  return { status, answer: data?.[0]?.embedding[0], isHit: String(headers['cache-status']).includes('hit') }
}

it('is ready once its /health says so', async () => {
  await eventually(() => expect(paths).toContain('/health'))
  const pool = async () => JSON.stringify((await gateway.ask('/api/v1/pools')).json)
  expect(await pool()).not.toContain('"ready"')
  isLoading = false
  await gateway.ready('upstream')
  expect(await pool()).toContain('/health answered 200')
})

it('keeps embeddings, over a list made anew, until the model is another', async () => {
  const first = await embed()
  await eventually(async () => expect(await embed()).toEqual({ ...first, isHit: true }))
  listed = { ...listed, created: 2 }
  const asked = paths.filter((path) => path === '/v1/models').length
  await eventually(() =>
    expect(paths.filter((path) => path === '/v1/models').length).toBeGreaterThan(asked + 1),
  )
  expect(await embed()).toEqual({ ...first, isHit: true })
  listed = { ...listed, root: '/models/two' }
  await eventually(async () => expect((await embed()).answer).not.toBe(first.answer))
})

it('an adapter that is loaded through the gateway is a deployment at once', async () => {
  const before = await embed()
  await eventually(async () => expect(await embed()).toMatchObject({ isHit: true }))
  const loaded = await gateway.post('/v1/load_lora_adapter', { lora_name: 'm', lora_path: '/x' })
  expect(loaded.status).toBe(200)
  expect((await embed()).answer).not.toBe(before.answer)
})
