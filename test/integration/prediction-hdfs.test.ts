/** Prediction logs in HDFS: a gateway that writes there, and what a lost answer of a NameNode may not do. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { FinishedFile } from '../../src/prediction-log/destination.ts'
import { createHdfsDirectory } from '../../src/prediction-log/hdfs-directory.ts'
import { StoreHttp } from '../../src/store/http.ts'
import { WebHdfs } from '../../src/store/webhdfs.ts'
import { startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { startGateway } from '../support/gateway.ts'
import { instances, PREDICT, settings } from '../support/settings.ts'
import { type HdfsCluster, startHdfs } from '../support/webhdfs.ts'

const NAME = 'ranker-20261130T044500Z-7-000001.jsonl'
const signal = AbortSignal.timeout(60_000)

let folder: string
let hdfs: HdfsCluster
let http: StoreHttp
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'infergate-spool-'))
  hdfs = await startHdfs()
  http = new StoreHttp({ refuse: () => undefined, connectTimeoutMs: 2_000 })
})
afterEach(async () => {
  await http.close()
  await hdfs.close()
  rmSync(folder, { recursive: true, force: true })
})

const directory = () => {
  const { namenodes } = hdfs
  const client = new WebHdfs({ http, namenodes, dataNodes: [], timeoutMs: 2_000 })
  return createHdfsDirectory({ url: 'hdfs://x/logs', path: '/logs', hdfs: client, close: async () => {} })
}

function finished(text: string): FinishedFile {
  const path = join(folder, `.${NAME}.host`)
  writeFileSync(path, text)
  return { path, name: NAME, bytes: text.length }
}

it('a file appears whole under its name', async () => {
  await directory().put(finished('one\n'), signal)
  expect(hdfs.read(`/logs/${NAME}`)?.toString()).toBe('one\n')
  expect(hdfs.read(`/logs/.${NAME}.host`)).toBeUndefined()
})

it('a file whose rename was done, and its answer lost, is there once', async () => {
  const to = directory()
  const file = finished('one\n')
  hdfs.nameNodeTrouble = (_request, response, op) => {
    if (op !== 'RENAME') return false
    hdfs.put(`/logs/${NAME}`, hdfs.read(`/logs/.${NAME}.host`) ?? Buffer.alloc(0))
    hdfs.remove(`/logs/.${NAME}.host`)
    response.destroy()
    return true
  }
  await expect(to.put(file, signal)).rejects.toThrow(/RENAME/)
  hdfs.nameNodeTrouble = undefined
  await to.put(file, signal)
  expect(hdfs.asked.filter((asked) => asked.includes('datanode PUT CREATE'))).toHaveLength(1)
})

it('a file of another gateway with the same name stays what it is', async () => {
  hdfs.put(`/logs/${NAME}`, Buffer.from('another'))
  await directory().put(finished('one\n'), signal)
  expect(hdfs.read(`/logs/${NAME}`)?.toString()).toBe('another')
  expect(hdfs.read(`/logs/${NAME.replace('000001', '000002')}`)?.toString()).toBe('one\n')
})

it('a gateway writes its predictions there, and what a dead NameNode did not take is there after the next start', async () => {
  const backend = await startBackend()
  const [namenode = ''] = hdfs.namenodes
  const to = `${namenode.replace('http:', 'webhdfs:')}/logs`
  const yaml = settings({ backends: [backend], server: { drainTimeout: '3s' }, route: { log: { to } } })
  const gateway = await startGateway({ yaml, env: { XDG_CACHE_HOME: folder } })
  await gateway.ready('main')
  const logged = () =>
    hdfs.asked.flatMap(
      (asked) =>
        asked
          .match(/RENAME (\/logs\/)\.(main-.*\.jsonl)/)
          ?.slice(1)
          .join('') ?? [],
    )
  try {
    await gateway.post(PREDICT, instances([1, 2]))
    await gateway.restart()
    expect(logged().map((path) => hdfs.read(path)?.toString())).toEqual([expect.stringContaining('[[1,2]]')])
    await gateway.ready('main')
    hdfs.nameNodeTrouble = (request) => (request.destroy(), true)
    await gateway.post(PREDICT, instances([3, 4]))
    await gateway.stop()
    hdfs.nameNodeTrouble = undefined
    await gateway.restart()
    await eventually(() => expect(hdfs.read(logged().at(-1) ?? '')?.toString()).toContain('[[3,4]]'))
    await eventually(() => expect(spooled(folder)).toEqual([]))
  } finally {
    await gateway.stop()
    await backend.close()
  }
})

const spooled = (cache: string) =>
  readdirSync(join(cache, 'infergate', 'spool'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.includes('jsonl'),
  )
