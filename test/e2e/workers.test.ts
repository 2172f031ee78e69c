/** Several data workers are one gateway: one memory, one flight a row, one count of what each backend runs. */

import { readFileSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { createServer } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Script, type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway, written } from '../support/gateway.ts'
import { call } from '../support/http.ts'
import { INSPECTED, runInWorker } from '../support/inspector.ts'
import { bytes } from '../support/row-backend.ts'
import { startRedis } from '../support/servers.ts'
import { instances, MEMORY, PREDICT, redisTier, settings, TWO } from '../support/settings.ts'

const WORKERS = TWO.workers
const INFER = '/v2/models/forms/infer'

let backend: ScriptedBackend
let gateway: RunningGateway

beforeAll(async () => {
  backend = await startBackend()
  gateway = await startGateway({
    yaml: settings({
      backends: [backend],
      server: TWO,
      tiers: [{ ...MEMORY, maxBytes: '32MiB' }],
    }),
    env: INSPECTED,
  })
  await gateway.ready('main')
})
afterAll(async () => {
  await gateway?.stop()
  await backend?.close()
})
beforeEach(() => {
  backend.script = summing
})

/** Calls that each worker has answered. */
const answered = () =>
  Promise.all(
    Array.from({ length: WORKERS }, (_, worker) =>
      gateway.metric('infergate_worker_calls_total', { worker: `${worker}` }),
    ),
  )

/** Runs `work`, again and again, until each worker has answered since. */
async function untilAllHave(work: () => Promise<void>): Promise<void> {
  const before = await answered()
  await eventually(
    async () => {
      await work()
      const now = await answered()
      expect(now.every((count, worker) => count > (before[worker] as number))).toBe(true)
    },
    { timeoutMs: 10_000 },
  )
}

/** Calls of the model, as the statistics have them. */
async function predictions(): Promise<number> {
  const { models } = (await gateway.ask('/api/v1/cache/stats')).json as {
    models: Record<string, { calls: Record<string, number> }>
  }
  return Object.values(models['sum']?.calls ?? {}).reduce((a, b) => a + b, 0)
}

/** Resolves when every worker has handled what was sent to it before: a purge is answered no sooner. */
const told = () => gateway.ask('/api/v1/cache/purge', { method: 'POST', body: { model: 'of another name' } })

/** A tensor of one row, the answer wanted as JSON or as a blob. */
const tensor = (row: number, asBlob: boolean) => ({
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [row] }],
  parameters: { binary_data_output: asBlob },
})

/** Gives the tensor back in the form that is asked for. */
const inEitherForm: Script = (asked, response) => {
  const { inputs, parameters } = JSON.parse(asked.body.toString()) as ReturnType<typeof tensor>
  const [{ name, datatype, shape, data }] = inputs as [(typeof inputs)[number]]
  const isBlob = parameters.binary_data_output
  const output = { name, datatype, shape, ...(isBlob ? { parameters: { binary_data_size: 4 } } : { data }) }
  const head = Buffer.from(JSON.stringify({ model_name: 'forms', outputs: [output] }))
  response.setHeader('content-type', isBlob ? 'application/octet-stream' : 'application/json')
  if (isBlob) response.setHeader('inference-header-content-length', head.length)
  response.end(isBlob ? Buffer.concat([head, bytes(data)]) : head)
}

/** Asks once for JSON, then for a blob at each worker: whichever it is, it gives what is kept. */
async function expectOneEntry(row: number): Promise<void> {
  const answers = new Set<string>()
  await gateway.post(INFER, tensor(row, false))
  await untilAllHave(async () => {
    const { headers } = await gateway.post(INFER, tensor(row, true))
    answers.add(`${headers['content-type']}: ${headers['cache-status']?.toString().slice(0, 14)}`)
  })
  expect([...answers]).toEqual(['application/octet-stream: infergate; hit'])
}

const asked = async (work: () => Promise<unknown>) => {
  const before = backend.asked.length
  await work()
  return backend.asked.length - before
}

describe('two workers', () => {
  it('let 100 equal calls reach the backend once', async () => {
    backend.script = (...all) => void setTimeout(() => void summing(...all), 200)
    let round = 100
    await untilAllHave(async () => {
      round++
      const count = await asked(async () => {
        const all = await Promise.all(
          Array.from({ length: 100 }, () => gateway.post(PREDICT, instances(round))),
        )
        expect(all.map(({ text }) => text)).toEqual(all.map(() => `{"predictions":[${round}]}`))
      })
      expect(count).toBe(1)
    })
  })

  it('have one memory: what one has stored is a hit in the other', async () => {
    const first = await gateway.post(PREDICT, instances(1, 2))
    expect(first.headers['cache-status']).toBe('infergate; fwd=miss; fwd-status=200; stored')
    await untilAllHave(async () => {
      const { headers } = await gateway.post(PREDICT, instances(1, 2))
      expect(headers['cache-status']).toMatch(/^infergate; hit; ttl=\d+; detail=memory$/)
    })
  })

  it.each([
    ['model', async () => ({ model: 'sum' })],
    ['everything', async () => ({ all: true })],
    [
      'key',
      async () => {
        const request = { method: 'POST', path: PREDICT, body: JSON.stringify(instances(5)) }
        const headers = { 'content-type': 'application/json' }
        const { json } = await gateway.ask('/api/v1/cache/explain', {
          method: 'POST',
          body: { ...request, headers },
        })
        return { key: (json as { key: string }).key }
      },
    ],
  ])('have forgotten, when a purge by %s is answered, what was asked before', async (_, purge) => {
    await untilAllHave(async () => void (await gateway.post(PREDICT, instances(5))))
    const { status } = await gateway.ask('/api/v1/cache/purge', { method: 'POST', body: await purge() })
    expect(status).toBe(200)
    const count = await asked(() =>
      Promise.all(Array.from({ length: 20 }, () => gateway.post(PREDICT, instances(5)))),
    )
    expect(count).toBe(1)
  })

  it('explain and count as one', async () => {
    await gateway.post(PREDICT, instances(77))
    const { json } = await gateway.ask('/api/v1/cache/stats')
    const { memory } = json as { memory: { entries: number } }
    expect(memory.entries).toBeGreaterThan(0)
    expect(await predictions()).toBe((await answered()).reduce((a, b) => a + b))
    expect(await gateway.metric('infergate_calls_total')).toBe((await answered()).reduce((a, b) => a + b))
    expect(await gateway.metric('infergate_workers')).toBe(WORKERS)
  })

  it('have learnt together in which forms a server answers', async () => {
    backend.script = inEitherForm
    // One connection is one worker, which alone sees an answer in each form.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (const asBlob of [false, true])
      await call(gateway.port, INFER, { method: 'POST', body: tensor(0, asBlob), agent })
    agent.destroy()
    await told()
    await expectOneEntry(1)
  })

  it('have new settings after a reload', async () => {
    const file = readFileSync(gateway.file, 'utf8')
    const moved = file.replace(
      '"name": "main",\n      "pool"',
      '"name": "main",\n      "match": {"path": "/moved*"},\n      "pool"',
    )
    expect(moved).not.toBe(file)
    writeFileSync(gateway.file, moved)
    await eventually(() => untilAllHave(async () => expect((await gateway.get('/v1/x')).status).toBe(404)))
    writeFileSync(gateway.file, file)
    await eventually(() => untilAllHave(async () => expect((await gateway.get('/v1/x')).status).toBe(200)))
  })

  it('lose, when one of them crashes, its own calls only; another takes its place', async () => {
    await untilAllHave(async () => void (await gateway.post(PREDICT, instances(9))))
    const [calls, counted] = [await gateway.metric('infergate_calls_total'), await predictions()]
    const release: (() => void)[] = []
    backend.script = (...all) => void release.push(() => void summing(...all))
    const running = Array.from({ length: 12 }, (_, n) =>
      gateway.post(PREDICT, instances(1_000 + n)).then(
        ({ status }) => status,
        () => 'cut',
      ),
    )
    await eventually(() => expect(release.length).toBe(12))
    await runInWorker(
      gateway.stderr,
      'worker 1',
      'setImmediate(() => { throw new Error("crashed for the test") })',
    )
    await eventually(() => expect(gateway.logs.some(({ event }) => event === 'worker.exit')).toBe(true))
    const crash = gateway.logs.find(({ event }) => event === 'worker.exit')
    expect(crash).toMatchObject({ worker: 1, level: 'error' })
    expect(crash?.['error']).toContain('crashed for the test')
    await eventually(() =>
      expect(gateway.logs.filter(({ event }) => event === 'worker.ready')).toHaveLength(2),
    )
    expect(await gateway.metric('infergate_calls_total')).toBeGreaterThanOrEqual(calls)
    expect(await predictions()).toBeGreaterThanOrEqual(counted)
    for (const each of release) each()
    const ends = await Promise.all(running)
    const kept = ends.filter((end) => end !== 'cut')
    expect(kept.length).toBeGreaterThan(0)
    expect(kept.every((end) => end === 200)).toBe(true)
    backend.script = summing
    // What the dead one had running is not counted any more, and what it had stored is still there.
    await eventually(async () => {
      const { json } = await gateway.ask('/api/v1/pools/main')
      expect((json as { backends: { inflight: number }[] }).backends[0]?.inflight).toBe(0)
    })
    const count = await asked(() =>
      untilAllHave(async () => void (await gateway.post(PREDICT, instances(9)))),
    )
    expect(count).toBe(0)
    // Nor does it have to learn anew what the others know.
    backend.script = inEitherForm
    await expectOneEntry(2)
    expect(await gateway.metric('infergate_worker_exits_total', { cause: 'crash' })).toBe(1)
  })
})

describe('a backend that takes one call at a time', () => {
  it('is shared by the workers, and what waits in one gets the place that comes free in the other', async () => {
    let [running, most] = [0, 0]
    const single = await startBackend((...all) => {
      most = Math.max(most, ++running)
      setTimeout(() => {
        running--
        void summing(...all)
      }, 5)
    })
    const narrow = await startGateway({
      yaml: settings({
        backends: [single],
        server: TWO,
        pool: { connections: 1, queue: { maxWait: '1m' } },
      }),
    })
    await narrow.ready('main')
    const all = await Promise.all(Array.from({ length: 60 }, (_, n) => narrow.post(PREDICT, instances(n))))
    expect(all.filter(({ status }) => status !== 200)).toEqual([])
    expect(most).toBe(1)
    await Promise.all([narrow.stop(), single.close()])
  })
})

describe('at its beginning and end', () => {
  it('a port that somebody has ends the start, with what to do', async () => {
    const holder = createServer()
    await new Promise<void>((resolve) => void holder.listen(0, '127.0.0.1', resolve))
    const { port } = holder.address() as { port: number }
    const file = written(settings({ server: TWO })) as string
    const args = ['serve', '--config', file, '--listen', `127.0.0.1:${port}`, '--admin', '127.0.0.1:0']
    const { code, stderr } = await runInfergate(args)
    expect(stderr).toContain(`port ${port} of 127.0.0.1 is in use`)
    expect(code).toBe(1)
    await new Promise((resolve) => holder.close(resolve))
  })

  it('SIGTERM lets the calls of all workers finish', async () => {
    const release: (() => void)[] = []
    backend.script = (...all) => void release.push(() => void summing(...all))
    const running = Array.from({ length: 12 }, (_, n) => gateway.post(PREDICT, instances(2_000 + n)))
    await eventually(() => expect(release.length).toBe(12))
    gateway.signal('SIGTERM')
    await eventually(async () => expect((await gateway.ask('/readyz')).text).toContain('draining'))
    for (const each of release) each()
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual(running.map(() => 200))
    expect(await gateway.exited).toBe(0)
  })
})

describe('a gateway of two workers and one of one, with one Redis', () => {
  it('ask the backend once for a herd, and forget together what is purged', async () => {
    const redis = await startRedis()
    const slow = await startBackend((...all) => void setTimeout(() => void summing(...all), 200))
    const yaml = (workers: number) =>
      settings({
        backends: [slow],
        server: { workers },
        // A look-up that a busy machine ends too late would make a gateway go on alone.
        tiers: [{ ...MEMORY, maxBytes: '32MiB' }, redisTier(redis, '5s')],
        route: { cache: { rows: 'never', leases: 'always' } },
      })
    const gateways = await Promise.all([
      startGateway({ yaml: yaml(WORKERS) }),
      startGateway({ yaml: yaml(1) }),
    ])
    await Promise.all(gateways.map((each) => each.ready('main')))
    for (const each of gateways)
      await eventually(async () => expect((await each.ask('/readyz')).text).not.toMatch(/cache tier/))
    const herd = async () => {
      const before = slow.asked.length
      const all = gateways.flatMap((each) =>
        Array.from({ length: 30 }, () => each.post(PREDICT, instances(3))),
      )
      expect(new Set((await Promise.all(all)).map(({ text }) => text))).toEqual(
        new Set(['{"predictions":[3]}']),
      )
      return slow.asked.length - before
    }
    expect(await herd()).toBe(1)
    expect(await herd()).toBe(0)
    await gateways[1].ask('/api/v1/cache/purge', { method: 'POST', body: { model: 'sum' } })
    // The other gateway hears of it by a hint, at the latest by its next look.
    const before = slow.asked.length
    await eventually(async () => {
      await gateways[0].post(PREDICT, instances(3))
      expect(slow.asked.length - before).toBe(1)
    })
    expect(await herd()).toBe(0)
    await Promise.all([...gateways.map((each) => each.stop()), slow.close()])
    await redis.stop()
  })
})
