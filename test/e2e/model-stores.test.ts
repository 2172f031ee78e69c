/** Models that the gateway fetches: started when there is one, changed while calls run, kept while the store is away. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { timesModel } from '../support/onnx-graph.ts'
import { type HdfsCluster, startHdfs } from '../support/webhdfs.ts'

const PREDICT = '/v1/models/times:predict'
const file = (version: number): string => `/models/times/${version}/model.onnx`

let dir: string
let hdfs: HdfsCluster
let gateway: RunningGateway | undefined

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'infergate-stores-'))
  hdfs = await startHdfs({ namenodes: 2 })
})

afterEach(async () => {
  await gateway?.stop()
  gateway = undefined
  await hdfs.close()
  await rm(dir, { recursive: true, force: true })
})

const start = (): Promise<RunningGateway> =>
  startGateway({
    yaml: {
      server: { listen: '127.0.0.1:0', workers: 1 },
      admin: { listen: '127.0.0.1:0' },
      models: [
        {
          name: 'times',
          source: 'hdfs://cluster/models/times',
          poll: '1s',
          cache: { ttl: '1h', scope: 'shared' },
        },
      ],
      stores: { dir, timeout: '2s', hdfs: { namenodes: [...hdfs.namenodes], user: 'ig' } },
    },
  })

const ask = (at: RunningGateway) => at.post(PREDICT, { instances: [1] })

/** Asks until the answer is the product; no answer before it may be another one than `before`. */
const answers = (at: RunningGateway, product: number, before?: number) =>
  eventually(
    async () => {
      const { status, json, text } = await ask(at)
      if (before !== undefined) expect([before, product], text).toContainEqual(first(json))
      expect(status, text).toBe(200)
      expect(first(json)).toBe(product)
    },
    { timeoutMs: 20_000 },
  )

const first = (json: unknown): unknown => (json as { predictions?: unknown[] }).predictions?.[0]

it('serves a version that is published, within a poll, and none of the answers of the one before it', async () => {
  gateway = await start()
  const { text } = await gateway.ask('/readyz')
  expect(text).toContain('no process serves it yet')
  await eventually(async () =>
    expect((await gateway?.ask('/readyz'))?.text).toContain('its store has no version'),
  )
  hdfs.put(file(1), timesModel(2))
  await answers(gateway, 2)
  expect((await ask(gateway)).headers['cache-status']).toMatch(/; hit;/)

  hdfs.putOpen(file(2), timesModel(3).subarray(0, 40))
  await eventually(async () =>
    expect((await gateway?.ask('/readyz'))?.text).toContain('version 2 was not fetched'),
  )
  expect(first((await ask(gateway)).json)).toBe(2)
  hdfs.put(file(2), timesModel(3))
  await answers(gateway, 3, 2)
  expect(first((await ask(gateway)).json)).toBe(3)
  expect((await gateway.ask('/readyz')).status).toBe(200)
})

it('goes on while the NameNodes are away, over a restart too, and says so', async () => {
  hdfs.put(file(1), timesModel(2))
  gateway = await start()
  await answers(gateway, 2)
  hdfs.nameNodeTrouble = (request) => {
    request.socket.destroy()
    return true
  }
  await eventually(async () => {
    const { status, text } = (await gateway?.ask('/readyz')) ?? {}
    expect(status).toBe(200)
    expect(text).toContain('its store is away')
  })
  expect(await gateway.metric('infergate_model_store_up', { model: 'times' })).toBe(0)
  await gateway.restart()
  await answers(gateway, 2)
  hdfs.put(file(2), timesModel(5))
  hdfs.nameNodeTrouble = undefined
  await answers(gateway, 5, 2)
  expect(await gateway.metric('infergate_model_store_up', { model: 'times' })).toBe(1)
})

it('loads neither the stores nor the SDK of S3 where every model is a file', async () => {
  gateway = await startGateway()
  await gateway.up()
  expect(await gateway.metric('infergate_model_store_up')).toBe(0)
  const { text } = await gateway.ask('/metrics')
  expect(text).not.toContain('infergate_model_store_up')
})
