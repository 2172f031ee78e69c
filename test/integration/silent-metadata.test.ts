/** A server that answers calls and never says what it has: its first calls are held up, and none fails for that. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { instances, MEMORY, redisTier, settings } from '../support/settings.ts'

const server = createServer((request, response) => {
  // Nobody is told of a model, and nobody is told that he will not be.
  if (request.method === 'GET' && /\/models\/[^/]+$/.test(request.url ?? '')) return
  request.resume()
  request.on('end', () => {
    response.setHeader('content-type', 'application/json').end('{"predictions":[1]}')
  })
})
let redis: TestServer

beforeAll(async () => {
  redis = await startRedis()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await redis?.stop()
})

describe.each([1, 2])('with %i workers', (workers) => {
  let gateway: RunningGateway

  beforeAll(async () => {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    gateway = await startGateway({
      yaml: settings({ backends: [{ url }], tiers: [MEMORY, redisTier(redis)], server: { workers } }),
    })
    await gateway.ready('main')
  })
  afterAll(() => gateway?.stop())

  it('a call with less time than first calls are held is answered in its time', async () => {
    const headers = { 'x-request-deadline-ms': '900' }
    const answer = await gateway.post('/v1/models/hurried:predict', instances(1), headers)
    expect([answer.status, answer.text]).toEqual([200, '{"predictions":[1]}'])
  })

  it('calls with all the time are one load', async () => {
    const asked = Array.from({ length: 20 }, () => gateway.post('/v1/models/patient:predict', instances(1)))
    const answers = await Promise.all(asked)
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    const loads = answers.filter(({ headers }) =>
      /fwd=miss(?!.*collapsed)/.test(String(headers['cache-status'])),
    )
    expect(loads).toHaveLength(1)
  })
})
