/** Callers, tenants and quotas over gRPC, HTTP/2 and HTTP/1.1 side by side: per call, not per connection, and one for all three. */
import { once } from 'node:events'
import http2 from 'node:http2'
import grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { newKey } from '../../src/cli/keys.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import type { Message } from '../support/oip-messages.ts'
import { METHODS, type OipServer, startOipServer } from '../support/oip-server.ts'

const TENANTS = ['red', 'blue', 'narrow', 'slow'] as const
type Tenant = (typeof TENANTS)[number]
const keys = Object.fromEntries(
  TENANTS.map((tenant) => [tenant, newKey({ name: tenant, tenant })]),
) as Record<Tenant, { key: string; line: string }>

let server: OipServer
let gateway: RunningGateway
let session: http2.ClientHttp2Session
let client: grpc.Client

beforeAll(async () => {
  server = await startOipServer()
  gateway = await startGateway({
    yaml: `
server: { workers: 2 }
auth:
  keys:
${TENANTS.map((tenant) => `    ${keys[tenant].line}`).join('\n')}
tenants:
  red: {}
  blue: {}
  narrow: { models: [other] }
  slow: { rate: { requests: 4/h, burst: 1h } }
pools: { main: { backends: [{ grpc: "${server.url}" }], health: { interval: 200ms, timeout: 10s } } }
routes: [{ name: main, pool: main, cache: { scope: tenant, rows: never } }]
`,
  })
  await gateway.ready('main')
  session = http2.connect(`http://127.0.0.1:${gateway.port}`)
  await once(session, 'connect')
  client = new grpc.Client(`127.0.0.1:${gateway.port}`, grpc.credentials.createInsecure())
})
afterAll(async () => {
  client.close()
  session.close()
  await gateway.stop()
  server.close()
})

/** Asks one question as a tenant; gives what was said, as a status of HTTP or the name of one of gRPC, and the answer. */
type Ask = (tenant: Tenant | undefined, value: number) => Promise<readonly [status: string, value?: number]>

const fieldsOf = (tenant: Tenant | undefined): Record<string, string> =>
  tenant ? { authorization: `Bearer ${keys[tenant].key}` } : {}
const bodyOf = (value: number) =>
  JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: [value] }] })
const PATH = '/v2/models/double/infer'
const valueIn = (text: string) =>
  (JSON.parse(text) as { outputs?: { data: number[] }[] }).outputs?.[0]?.data[0] as number

const byHttp1: Ask = async (tenant, value) => {
  const answer = await fetch(`http://127.0.0.1:${gateway.port}${PATH}`, {
    method: 'POST',
    headers: { ...fieldsOf(tenant), 'content-type': 'application/json' },
    body: bodyOf(value),
  })
  return [String(answer.status), valueIn(await answer.text())]
}

const byHttp2: Ask = async (tenant, value) => {
  const fields = { ':method': 'POST', ':path': PATH, 'content-type': 'application/json', ...fieldsOf(tenant) }
  const stream = session.request(fields)
  stream.end(bodyOf(value))
  const [head] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return [String(head[':status']), valueIn(text)]
}

const byGrpc: Ask = (tenant, value) => {
  const metadata = new grpc.Metadata()
  for (const [name, text] of Object.entries(fieldsOf(tenant))) metadata.set(name, text)
  const request: Message = {
    model_name: 'double',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1], contents: { fp32_contents: [value] } }],
  }
  const { path, requestSerialize, responseDeserialize } = METHODS.ModelInfer
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      (error, message) => {
        const [y] = (message?.['outputs'] ?? []) as { contents: { fp32_contents: number[] } }[]
        if (error) resolve([grpc.status[error.code]])
        else resolve(['OK', y?.contents.fp32_contents[0] as number])
      },
    )
  })
}

const WAYS = [byGrpc, byHttp2, byHttp1]

it('each tenant has its own answer, and the same over all three', async () => {
  server.asked.length = 0
  const told = await Promise.all(
    Array.from({ length: 120 }, (_, i) => {
      const value = 100 + (i % 5)
      const ask = WAYS[i % 3] as Ask
      const good = [ask === byGrpc ? 'OK' : '200', 2 * value]
      return ask(i % 2 === 0 ? 'red' : 'blue', value).then((answer) => expect(answer).toEqual(good))
    }),
  )
  expect(told).toHaveLength(120)
  // One of each tenant, of each worker, over REST and over gRPC, for each of five questions, at most: a worker asks in each form until it
  // has seen it answered. Less than both tenants' would be one's answer for two.
  expect(server.asked.length).toBeGreaterThanOrEqual(2 * 5)
  expect(server.asked.length).toBeLessThanOrEqual(2 * 2 * 2 * 5)
})

it('who is refused is told so in the words of its transport, call by call on one connection', async () => {
  const told = await Promise.all(WAYS.flatMap((ask) => [ask(undefined, 7), ask('narrow', 7), ask('red', 7)]))
  expect(told).toEqual([
    ['UNAUTHENTICATED'],
    ['PERMISSION_DENIED'],
    ['OK', 14],
    ...[1, 2].flatMap(() => [
      ['401', undefined],
      ['403', undefined],
      ['200', 14],
    ]),
  ])
})

it('a quota is one for all three', async () => {
  const told: string[] = []
  for (let i = 0; i < 12; i++) told.push((await (WAYS[i % 3] as Ask)('slow', 1000 + i))[0])
  const passed = told.filter((status) => status === 'OK' || status === '200').length
  expect(passed).toBeGreaterThan(0)
  expect(passed).toBeLessThanOrEqual(4)
  for (const [i, status] of told.slice(9).entries())
    expect(status).toBe(i === 0 ? 'RESOURCE_EXHAUSTED' : '429')
})
