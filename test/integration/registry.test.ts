/** A backend's whole life by nothing but HTTP: registering, renewing, being fenced, falling silent and leaving. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts'
import { eventually } from '../support/eventually.ts'
import { call } from '../support/http.ts'

const PATH = '/api/v1/pools/ranker/backends/gpu-1'

interface Lease {
  generation: number
  ttlMs: number
  renewAfterMs: number
}

let plane: ControlPlane
let model: Server
let url: string

beforeEach(async () => {
  plane = await startControlPlane()
  model = createServer((_, response) => response.end('{}'))
  await new Promise<void>((resolve) => model.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(model.address() as AddressInfo).port}`
})

afterEach(async () => {
  await plane.close()
  model.closeAllConnections()
  model.close()
})

async function put(body: Record<string, unknown> = {}): Promise<{ status: number; lease: Lease }> {
  const answer = await call(plane.port, PATH, { method: 'PUT', body: { url, ...body } })
  return { status: answer.status, lease: answer.json as Lease }
}

function renew(generation: number) {
  return call(plane.port, `${PATH}/renew`, { method: 'POST', body: { generation, load: { queued: 3 } } })
}

async function states(): Promise<Record<string, string>> {
  const { json } = await call(plane.port, '/api/v1/pools/ranker')
  const { backends } = json as { backends: { id: string; state: string }[] }
  return Object.fromEntries(backends.map(({ id, state }) => [id, state]))
}

test('a registered backend is ready within a second and shown with all that is known of it', async () => {
  const models = [{ name: 'ranker', version: '3', digest: 'sha256:ab', maxBatch: 32 }]
  const begin = performance.now()
  const { status, lease } = await put({
    epoch: 5,
    models,
    weight: 2,
    zone: 'eu-1a',
    capacity: { concurrency: 8 },
    labels: { release: 'blue' },
  })
  expect(status).toBe(201)
  expect(lease).toEqual({ generation: expect.any(Number), ttlMs: 15_000, renewAfterMs: 5_000 })
  await eventually(async () => expect(await states()).toEqual({ 'gpu-1': 'ready' }))
  expect(performance.now() - begin).toBeLessThan(1_000)
  expect((await renew(lease.generation)).status).toBe(200)
  const { json } = await call(plane.port, '/api/v1/pools')
  expect(json).toMatchObject({
    pools: [
      {
        pool: 'ranker',
        backends: [
          {
            id: 'gpu-1',
            url,
            models,
            weight: 2,
            zone: 'eu-1a',
            concurrency: 8,
            labels: { release: 'blue' },
            load: { queued: 3 },
            source: 'registered',
            epoch: 5,
            generation: lease.generation,
            inflight: 0,
            reason: expect.stringMatching(/probe/),
            leaseRemainingMs: expect.any(Number),
          },
        ],
      },
    ],
  })
})

test('the same registration again is 200 and the same generation', async () => {
  const first = await put({ epoch: 5 })
  const second = await put({ epoch: 5 })
  expect([first.status, second.status]).toEqual([201, 200])
  expect(second.lease.generation).toBe(first.lease.generation)
})

test('a successor fences off the old process: it can neither renew nor remove', async () => {
  const old = await put({ epoch: 5 })
  const next = await put({ epoch: 6 })
  expect(next.lease.generation).toBeGreaterThan(old.lease.generation)
  expect((await renew(old.lease.generation)).status).toBe(409)
  expect((await put({ epoch: 5 })).status).toBe(409)
  const late = await call(plane.port, `${PATH}?generation=${old.lease.generation}`, { method: 'DELETE' })
  expect(late.status).toBe(409)
  expect((await renew(next.lease.generation)).status).toBe(200)
})

test('a backend that stops renewing is suspect after its TTL', async () => {
  const { lease } = await put({ lease: { ttlMs: 3_000 } })
  expect(lease.ttlMs).toBe(3_000)
  await eventually(async () => expect(await states()).toEqual({ 'gpu-1': 'ready' }))
  const began = performance.now()
  await eventually(async () => expect(await states()).toEqual({ 'gpu-1': 'suspect' }), { timeoutMs: 5_000 })
  expect(performance.now() - began).toBeLessThan(3_500)
})

test('draining and removing are told apart, and the removed one is unknown', async () => {
  const { lease } = await put({ epoch: 5 })
  const patched = await call(plane.port, PATH, { method: 'PATCH', body: { state: 'draining' } })
  expect(patched).toMatchObject({ status: 200, json: { state: 'draining' } })
  expect(await states()).toEqual({ 'gpu-1': 'draining' })
  const removed = await call(plane.port, `${PATH}?drain=2s&generation=${lease.generation}`, {
    method: 'DELETE',
  })
  expect(removed).toMatchObject({ status: 202, json: { inflight: 0, drainMs: 2_000 } })
  await eventually(async () => expect(await states()).toEqual({}))
  expect((await renew(lease.generation)).status).toBe(404)
  expect((await put({ epoch: 4 })).status).toBe(409)
  expect((await put()).status).toBe(201)
})

test.each([
  [
    'PUT',
    '/api/v1/pools/nowhere/backends/a',
    { url: 'http://127.0.0.1:1' },
    404,
    /under pools in the settings/,
  ],
  ['PUT', '/api/v1/pools/ranker/backends/a%2Fb', { url: 'http://127.0.0.1:1' }, 400, /backend id/],
  [
    'PUT',
    `/api/v1/pools/ranker/backends/${'a'.repeat(129)}`,
    { url: 'http://127.0.0.1:1' },
    400,
    /backend id/,
  ],
  ['POST', `${PATH}/renew`, { generation: 1 }, 404, /register it/],
  ['POST', `${PATH}/renew`, { generatoin: 1 }, 400, /did you mean "generation"/],
  ['PATCH', PATH, {}, 400, /nothing to change/],
  ['PATCH', PATH, { weight: 2 }, 404, /register it/],
  ['DELETE', `${PATH}?drain=soon`, undefined, 400, /duration/],
  ['DELETE', `${PATH}?drian=3s`, undefined, 400, /did you mean "drain"/],
  ['DELETE', `${PATH}?generation=x`, undefined, 400, /number/],
  ['DELETE', PATH, undefined, 404, /register it/],
])('%s %s with %o is %i', async (method, path, body, status, reason) => {
  const answer = await call(plane.port, path, { method, ...(body ? { body } : {}) })
  expect(answer.status).toBe(status)
  expect((answer.json as { detail: string }).detail).toMatch(reason)
})
