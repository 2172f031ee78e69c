/** Backends that say how busy they are: on a metrics page, or on their answers. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { instances, PREDICT, settings, TWO } from '../support/settings.ts'

const cleanup: (() => unknown)[] = []
afterAll(async () => {
  for (const clean of cleanup.toReversed()) await clean()
})

type Answer = (response: ServerResponse, format: string | undefined) => void

/** Answers predictions, and `/metrics` as it is told; counts both. */
async function server(page: Answer, predict: Answer = (response) => response.end('{"predictions":[1]}')) {
  const counts = { predictions: 0, pages: 0 }
  const backend = { url: '', counts, page, predict }
  const listener = createServer((request, response) => {
    if (request.url === '/metrics') {
      counts.pages++
      return backend.page(response, undefined)
    }
    response.setHeader('content-type', 'application/json')
    if (request.method === 'GET') return void response.end('{"ready":true}')
    request.resume().once('end', () => {
      counts.predictions++
      backend.predict(response, request.headers['endpoint-load-metrics-format'] as string | undefined)
    })
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  cleanup.push(() => {
    listener.closeAllConnections()
    listener.close()
  })
  backend.url = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`
  return backend
}

const says =
  (text: string): Answer =>
  (response) =>
    void response.end(text)
const IDLE = 'vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0.1\n'
const BUSY = 'vllm:num_requests_running 32\nvllm:num_requests_waiting 8\nvllm:kv_cache_usage_perc 0.97\n'

/** What the admin API says of the load of each backend, in the order of the pool. */
async function reported(gateway: RunningGateway): Promise<unknown[]> {
  const { json } = await gateway.ask('/api/v1/pools/main')
  return (json as { backends: { reported?: unknown }[] }).backends.map((backend) => backend.reported)
}

async function call(gateway: RunningGateway, times: number): Promise<void> {
  for (let n = 0; n < times; n++)
    expect(await gateway.post(PREDICT, instances(Math.random()))).toMatchObject({ status: 200 })
}

it('calls go to the backend whose page shows less work, by all workers; a page that lies counts for nothing', async () => {
  const [idle, busy] = [await server(says(IDLE)), await server(says(BUSY))]
  const gateway = await startGateway({
    yaml: settings({
      backends: [idle, busy],
      server: TWO,
      pool: {
        balance: { policy: 'p2c', slowStart: { window: '0s' } },
        load: { from: 'metrics', interval: '50ms', timeout: '5s', maxAge: '3s' },
      },
    }),
  })
  await gateway.ready('main', 2)
  const told = (...loads: unknown[]) =>
    eventually(async () => expect(await reported(gateway)).toEqual(expect.arrayContaining(loads)))
  await told({ running: 0, waiting: 0, utilization: 0.1 }, { running: 32, waiting: 8, utilization: 0.97 })
  await call(gateway, 30)
  expect(busy.counts.predictions).toBe(0)
  expect(await gateway.metric('infergate_backend_reported_calls', { state: 'waiting' })).toBe(8)

  for (const [page, why] of [
    [says('vllm:num_requests_waiting -5\n'), 'a number of its report is none, is negative or is too large'],
    [says(`# ${'x'.repeat(3_000_000)}\n`), 'its metrics page is larger than 2 MiB'],
    [
      (response: ServerResponse) => response.writeHead(500).end(),
      'its metrics page is answered with an error',
    ],
    [(response: ServerResponse) => response.destroy(), 'its metrics page cannot be reached'],
    [says('up 1\n'), 'its report has none of the known metrics'],
  ] as const) {
    busy.page = page
    await eventually(async () => expect(await reported(gateway)).toContainEqual({ ignored: why }), {
      timeoutMs: 15_000,
    })
  }
  // The last good report is too old: what nobody knows is not taken for busy.
  const before = busy.counts.predictions
  await call(gateway, 40)
  expect(busy.counts.predictions).toBeGreaterThan(before)
  await gateway.stop()
})

it('a report on an answer is asked for, counts, and ends at the gateway', async () => {
  const formats: (string | undefined)[] = []
  const predict =
    (load: string): Answer =>
    (response, format) => {
      formats.push(format)
      response.setHeader('endpoint-load-metrics', load).setHeader('x-own', '1').end('{"predictions":[1]}')
    }
  const unasked = says('up 1\n')
  const busy = await server(unasked, predict('TEXT named_metrics.num_requests_running=50'))
  const idle = await server(unasked, predict('JSON {"named_metrics":{"num_requests_running":0}}'))
  const gateway = await startGateway({
    yaml: settings({
      backends: [busy, idle],
      pool: { balance: { policy: 'least-request' }, load: { from: 'answers', maxAge: '1m' } },
    }),
  })
  await gateway.ready('main', 2)
  // Backends on slow start may get a call besides, so some calls may still come to the busy one.
  await call(gateway, 40)
  expect(busy.counts.predictions).toBeLessThan(10)
  const answer = await gateway.post(PREDICT, instances(-1), { 'endpoint-load-metrics-format': 'BIN' })
  expect(answer.headers).toMatchObject({ 'x-own': '1' })
  expect(answer.headers).not.toHaveProperty('endpoint-load-metrics')
  expect(new Set(formats)).toEqual(new Set(['TEXT']))
  expect(await reported(gateway)).toContainEqual({ running: 50 })
  expect(busy.counts.pages + idle.counts.pages).toBe(0)
  await gateway.stop()
})

it('without the setting reports pass as any field, and nothing is asked for', async () => {
  const formats: (string | undefined)[] = []
  const backend = await server(says(BUSY), (response, format) => {
    formats.push(format)
    response.setHeader('endpoint-load-metrics', 'TEXT cpu_utilization=0.4').end('{"predictions":[1]}')
  })
  const gateway = await startGateway({ yaml: settings({ backends: [backend] }) })
  await gateway.ready('main', 1)
  const { headers } = await gateway.post(PREDICT, instances(1), { 'cache-control': 'no-store' })
  expect(headers).toMatchObject({ 'endpoint-load-metrics': 'TEXT cpu_utilization=0.4' })
  expect(formats).toEqual([undefined])
  expect(await reported(gateway)).toEqual([undefined])
  await gateway.stop()
})
