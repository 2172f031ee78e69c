/** A new deployment makes what was kept unreachable: its calls are foreseen as misses before they arrive. */
import { afterEach, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { settings } from '../support/settings.ts'

let gateway: RunningGateway | undefined
let backend: ScriptedBackend | undefined
let stopLoad = () => {}
afterEach(async () => {
  stopLoad()
  await gateway?.stop()
  await backend?.close()
})

interface Scale {
  readonly desired: number
  readonly reason: string
  readonly sentence: string
  readonly demand: { readonly hitRatio: number }
}

it('a new digest under a load of hits asks for replicas at once', async () => {
  backend = await startBackend((_, response) => {
    setTimeout(() => response.setHeader('content-type', 'application/json').end('{"predictions":[1]}'), 50)
  })
  const { url } = backend
  gateway = await startGateway({
    yaml: {
      ...settings({ tiers: [{ name: 'memory', type: 'memory', maxBytes: '16MiB' }] }),
      pools: {
        p: {
          slo: { p95: '200ms' },
          scale: { min: 1, max: 20, windows: { fast: '1s', stable: '2s', down: '60s' } },
        },
      },
      routes: [{ name: 'r', pool: 'p', cache: { enabled: true, ttl: '10m', rows: 'never' } }],
    },
  })
  const { ask, post } = gateway
  const deploy = async (digest: string) => {
    const body = { url, capacity: { concurrency: 2 }, models: [{ name: 'm', version: '1', digest }] }
    const put = await ask('/api/v1/pools/p/backends/b', {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    expect(put.status).toBeLessThan(300)
  }
  const scale = async () => (await ask('/api/v1/scale/p')).json as Scale
  await deploy('sha256:a')
  await gateway.ready('p')

  let sent = 0
  const call = () => post('/v1/models/m:predict', { instances: [sent++ % 20] })
  for (let i = 0; i < 20; i++) expect((await call()).status).toBe(200)
  const timer = setInterval(() => void call().catch(() => {}), 10)
  stopLoad = () => clearInterval(timer)
  await eventually(async () => expect((await scale()).demand.hitRatio).toBeGreaterThan(0.99), {
    timeoutMs: 10_000,
  })
  expect((await scale()).desired).toBe(1)

  await deploy('sha256:b')
  const told = await eventually(async () => {
    const now = await scale()
    expect(now.desired).toBeGreaterThan(1)
    return now
  })
  expect(told.sentence).toMatch(/^1 → \d replicas: the cache is lost/)
}, 30_000)
