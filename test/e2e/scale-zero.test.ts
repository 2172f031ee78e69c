/** A pool that may be at zero: calls that come then wait for its first backend, a bounded number of them, and wake it. */
import { readFileSync } from 'node:fs'
import { afterEach, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { modelFile } from '../support/model-server.ts'
import { PREDICT, settings, TWO } from '../support/settings.ts'

let gateway: RunningGateway | undefined
let backend: ScriptedBackend | undefined
afterEach(async () => {
  await gateway?.stop()
  await backend?.close()
})

async function desired(pool: string): Promise<{ desired: number; sentence: string }> {
  const { json } = await (gateway as RunningGateway).ask(`/api/v1/scale/${pool}`)
  return json as { desired: number; sentence: string }
}

it('calls wait for the first backend, too many are told to come again, and the pool is asked for', async () => {
  backend = await startBackend((_, response) => {
    response.setHeader('content-type', 'application/json').end('{"predictions":[1]}')
  })
  gateway = await startGateway({
    yaml: {
      ...settings({ tiers: [], server: TWO }),
      pools: { p: { queue: { max: 2 }, scale: { min: 0, max: 3 } } },
      routes: [{ name: 'r', pool: 'p' }],
    },
  })
  const { post, ask } = gateway
  const held = [1, 2].map((row) => (gateway as RunningGateway).post(PREDICT, { instances: [row] }))
  await eventually(async () => expect((await desired('p')).desired).toBe(1))
  expect((await desired('p')).sentence).toMatch(/^(0 → )?1 replica: /)
  const refused = await post(PREDICT, { instances: [3] })
  expect(refused).toMatchObject({ status: 503, text: expect.stringContaining('its queue is full') })
  expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1)
  const put = await ask('/api/v1/pools/p/backends/first', {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url: backend.url }),
  })
  expect(put.status).toBe(201)
  expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200])
})

it('an embedded model goes to zero, hits are answered without it, and a miss wakes it', async () => {
  const digits = [3, 7].map((digit) =>
    readFileSync(new URL(`../../models/samples/digit-${digit}.v1.json`, import.meta.url), 'utf8'),
  )
  gateway = await startGateway({
    yaml: {
      models: [
        {
          name: 'digits',
          source: modelFile('digits.onnx'),
          replicas: { min: 0, max: 2 },
          slo: { p95: '200ms' },
          scale: { windows: { fast: '1s', stable: '1s', down: '1s' } },
        },
      ],
    },
  })
  await gateway.up()
  const path = '/v1/models/digits:predict'
  const woke = await gateway.post(path, digits[0])
  expect(woke).toMatchObject({ status: 200, text: expect.stringContaining('"digit": 3') })
  // What was asked for before the model was known is under no version of it.
  const first = await gateway.post(path, digits[0])
  expect(first).toMatchObject({ status: 200, text: expect.stringContaining('"digit": 3') })
  await eventually(
    async () => {
      expect((await desired('digits')).desired).toBe(0)
      const { json } = await (gateway as RunningGateway).ask('/api/v1/pools/digits')
      expect((json as { backends: unknown[] }).backends).toHaveLength(0)
    },
    { timeoutMs: 30_000 },
  )
  const again = await gateway.post(path, digits[0])
  expect(again).toMatchObject({ status: 200, text: first.text })
  expect(again.headers['cache-status']).toMatch(/hit/)
  expect((await desired('digits')).desired).toBe(0)
  const woken = await gateway.post(path, digits[1])
  expect(woken).toMatchObject({ status: 200, text: expect.stringContaining('"digit": 7') })
}, 90_000)
