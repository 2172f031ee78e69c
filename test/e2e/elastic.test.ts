/** The elastic loop, whole: the load on an embedded model rises, its processes follow, and go again. */
import { readFileSync } from 'node:fs'
import { afterEach, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway } from '../support/gateway.ts'
import { modelFile } from '../support/model-server.ts'

const sample = readFileSync(new URL('../../models/samples/digit-3.v1.json', import.meta.url), 'utf8')
const PREDICT = '/v1/models/digits:predict'

interface Scale {
  readonly desired: number
  readonly ready: number
  readonly sentence: string
  readonly demand: { readonly missesPerSecond: number; readonly hitRatio: number }
}

let gateway: RunningGateway | undefined
let stopLoad = () => {}
afterEach(async () => {
  stopLoad()
  await gateway?.stop()
})

/** So many calls a second, whether they are answered or not; gives the statuses that are no 200. */
function offer(perSecond: number): unknown[] {
  stopLoad()
  const bad: unknown[] = []
  const began = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    const due = ((performance.now() - began) * perSecond) / 1000
    for (; sent < due; sent++) {
      gateway?.post(PREDICT, sample).then(
        ({ status, text }) => status === 200 || bad.push(text),
        (error: unknown) => bad.push(error),
      )
    }
  }, 5)
  stopLoad = () => clearInterval(timer)
  return bad
}

const embedded = (cache: object, over: object = {}) => ({
  models: [
    {
      name: 'digits',
      source: modelFile('digits.onnx'),
      replicas: { min: 1, max: 6 },
      // Waiting, not computing: more processes help on however few cores.
      delay: '20ms',
      maxBatch: 1,
      slo: { p95: '120ms' },
      scale: { windows: { fast: '1s', stable: '4s', down: '6s' } },
      cache,
      ...over,
    },
  ],
})

async function scale(): Promise<Scale> {
  const { json, text, status } = await (gateway as RunningGateway).ask('/api/v1/scale/digits')
  if (status !== 200) throw new Error(text)
  return json as Scale
}

it('a tenfold step starts processes within two seconds, and they go when the load has gone', async () => {
  gateway = await startGateway({ yaml: embedded({ enabled: false }) })
  await gateway.up()
  const desired: number[] = []
  const said: string[] = []
  const note = async () => {
    const now = await scale()
    if (desired.at(-1) !== now.desired) {
      desired.push(now.desired)
      said.push(now.sentence)
    }
    return now
  }
  offer(6)
  await eventually(async () => expect((await note()).demand.missesPerSecond).toBeGreaterThan(3))
  // Past the starting window: what follows is the step's doing.
  const calm = performance.now()
  await eventually(
    async () => {
      await note()
      expect(performance.now() - calm).toBeGreaterThan(4_000)
    },
    { timeoutMs: 6_000 },
  )
  expect(said).toEqual([expect.stringMatching(/^1 replica: /)])

  const stepped = performance.now()
  const bad = offer(60)
  await eventually(async () => expect((await note()).desired).toBeGreaterThan(1))
  const signalMs = performance.now() - stepped
  expect(signalMs).toBeLessThan(2_000)
  const { sentence } = await scale()
  expect(sentence).toMatch(/^1 → \d replicas: /)

  const serving = await eventually(
    async () => {
      const { ready, desired: wanted } = await note()
      expect(ready).toBeGreaterThan(1)
      expect(ready).toBe(wanted)
      return ready
    },
    { timeoutMs: 20_000 },
  )
  const attempts = (backend: string) =>
    (gateway as RunningGateway).metric('infergate_backend_attempts_total', { backend, ending: 'ok' })
  await eventually(async () => expect(await attempts(`digits-${serving - 1}`)).toBeGreaterThan(0))
  expect(bad).toEqual([])

  stopLoad()
  await eventually(
    async () => {
      await note()
      const { json } = await (gateway as RunningGateway).ask('/api/v1/pools/digits')
      expect((json as { backends: unknown[] }).backends).toHaveLength(1)
    },
    { timeoutMs: 60_000 },
  )
  expect((await scale()).desired).toBe(1)
  // Up, and then down: never up again, nor down in between.
  const top = desired.indexOf(Math.max(...desired))
  expect(desired.slice(0, top + 1)).toEqual(desired.slice(0, top + 1).toSorted((a, b) => a - b))
  expect(desired.slice(top)).toEqual(desired.slice(top).toSorted((a, b) => b - a))
  expect(bad).toEqual([])
  console.info(`signal after ${Math.round(signalMs)} ms, desired ${desired.join(' → ')}`)
}, 120_000)

it('a load that is all hits starts nothing', async () => {
  gateway = await startGateway({ yaml: embedded({ enabled: true }) })
  await gateway.up()
  await gateway.post(PREDICT, sample)
  offer(150)
  await eventually(async () => expect((await scale()).demand.hitRatio).toBeGreaterThan(0.99), {
    timeoutMs: 10_000,
  })
  const watched = performance.now()
  await eventually(
    async () => {
      expect((await scale()).desired).toBe(1)
      if (performance.now() - watched < 3_000) throw new Error('not yet watched for long')
    },
    { timeoutMs: 6_000 },
  )
  await toldElsewhere(gateway)
}, 60_000)

/** So many pictures, no two alike. */
const pictures = (count: number) =>
  Array.from({ length: count }, (_, i) =>
    Array.from({ length: 64 }, (_, pixel) => (pixel < 3 ? Math.floor(i / 16 ** pixel) % 16 : 0)),
  )

it('a cache that is lost under a load of hits starts processes before the p95 breaks', async () => {
  const sloMs = 1_000
  const over = {
    slo: { p95: `${sloMs}ms` },
    scale: { windows: { fast: '1s', stable: '2s', down: '10s' } },
  }
  gateway = await startGateway({ yaml: embedded({ enabled: true, rows: 'always' }, over) })
  await gateway.up()
  const rows = pictures(600)
  for (let at = 0; at < rows.length; at += 100)
    expect((await gateway.post(PREDICT, { instances: rows.slice(at, at + 100) })).status).toBe(200)

  // More calls than one process could answer, each of them known.
  const calls: { readonly sentAt: number; readonly ms: number; readonly status: number }[] = []
  let next = 0
  const timer = setInterval(() => {
    const sentAt = performance.now()
    const sent = gateway?.post(PREDICT, { instances: [rows[next++ % rows.length]] })
    void sent?.then(({ status }) => calls.push({ sentAt, ms: performance.now() - sentAt, status }))
  }, 15)
  stopLoad = () => clearInterval(timer)
  await eventually(async () => expect((await scale()).demand.hitRatio).toBeGreaterThan(0.99), {
    timeoutMs: 10_000,
  })
  expect((await scale()).desired).toBe(1)

  const lostAt = performance.now()
  const purge = { method: 'POST', body: '{"all":true}', headers: { 'content-type': 'application/json' } }
  expect((await gateway.ask('/api/v1/cache/purge', purge)).status).toBe(200)
  const sentence = await eventually(async () => {
    const now = await scale()
    expect(now.desired).toBeGreaterThan(1)
    return now.sentence
  })
  const signalAt = performance.now()
  expect(sentence).toMatch(/^1 → \d replicas: the cache is lost/)
  await eventually(async () => expect((await scale()).ready).toBeGreaterThan(1), { timeoutMs: 20_000 })
  stopLoad()
  await eventually(async () => expect(calls).toHaveLength(next), { timeoutMs: 10_000 })
  const since = (from: number, to: number) => calls.filter(({ sentAt }) => sentAt >= from && sentAt < to)
  expect(calls.filter(({ status }) => status !== 200)).toEqual([])
  expect(since(lostAt, signalAt).length).toBeGreaterThan(0)
  expect(p95(since(lostAt, signalAt))).toBeLessThan(sloMs)
  console.info(
    `signal after ${Math.round(signalAt - lostAt)} ms, p95 until then ${Math.round(p95(since(lostAt, signalAt)))} ms, ` +
      `after it ${Math.round(p95(since(signalAt, Infinity)))} ms`,
  )
}, 60_000)

function p95(calls: readonly { readonly ms: number }[]): number {
  const sorted = calls.map(({ ms }) => ms).sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.95) - 1] ?? 0
}

/** The same number for an autoscaler, for Prometheus and at the shell. */
async function toldElsewhere({ ask, metric, admin }: RunningGateway): Promise<void> {
  const api = '/apis/external.metrics.k8s.io/v1beta1'
  const { json } = await ask(
    `${api}/namespaces/ml/infergate_scale_desired_replicas?labelSelector=pool%3Ddigits`,
  )
  expect(json).toMatchObject({
    kind: 'ExternalMetricValueList',
    apiVersion: 'external.metrics.k8s.io/v1beta1',
    items: [{ metricLabels: { pool: 'digits' }, value: '1', timestamp: expect.stringMatching(/:\d\dZ$/) }],
  })
  expect((await ask(api)).json).toMatchObject({
    kind: 'APIResourceList',
    resources: [{ name: 'infergate_scale_desired_replicas' }],
  })
  expect(await metric('infergate_scale_desired_replicas', { pool: 'digits' })).toBe(1)
  const shell = await runInfergate(['scale', 'digits', '--admin', admin])
  expect(shell).toMatchObject({ code: 0, stdout: expect.stringMatching(/^digits: 1 replica: /) })
  const other = await runInfergate(['scale', 'nobody', '--admin', admin])
  expect(other).toMatchObject({ code: 1, stderr: expect.stringMatching(/no pool "nobody" is scaled/) })
}
