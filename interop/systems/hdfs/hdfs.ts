/**
 * Models published to HDFS by Hadoop's own shell, and followed by the gateway over WebHDFS; predictions that the gateway logs
 * there, read by Spark.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StoreHttp } from '../../../src/store/http.ts'
import { WebHdfs } from '../../../src/store/webhdfs.ts'
import { ask } from '../../suite/ask.ts'
import { eventually } from '../../suite/eventually.ts'
import type { Gateway } from '../../suite/gateway.ts'
import type { Session, System } from '../../suite/session.ts'
import { following, model, type PublishedStore, product, tryAway, tryPublished } from '../followed.ts'
import { sparkPython } from '../spark/python.ts'
import { type Hadoop, startHadoop } from './hadoop.ts'
import { tryPredictions } from './predictions.ts'

export const hdfs: System = {
  name: 'hdfs',
  title: 'Hadoop HDFS: models published to it, predictions logged to it and read back by Spark',
  guide: 'model-stores.md',
  async run(session) {
    const spark = await sparkPython(session, ['pyspark'])
    const hadoop = await startHadoop(session)
    const store = { ...hadoop, publish: publisher(session, hadoop) }
    const gateway = await session.gateway({
      name: 'followed',
      upstream: '',
      settings: following(session, 'hdfs://cluster/models/times', {
        // Nobody listens at the first, as at a NameNode that is down.
        hdfs: {
          namenodes: ['http://127.0.0.1:1', hadoop.namenode],
          user: 'interop',
          dataNodes: ['localhost'],
        },
      }),
      readyStatus: 503,
    })
    await tryPublished(session, gateway, store)
    await tryHalfWritten(session, gateway, hadoop)
    await tryAway(session, gateway, store)
    await tryPredictions(session, { hadoop, spark })
  },
}

/** `hadoop fs -put`, which writes under another name first. */
function publisher(session: Session, { shell }: Hadoop): PublishedStore['publish'] {
  return async (version, bytes) => {
    const file = join(session.folder, `model-${version}.onnx`)
    writeFileSync(file, bytes)
    await shell('-mkdir', '-p', `/models/times/${version}`)
    await shell('-put', '-f', file, `/models/times/${version}/model.onnx`)
  }
}

async function tryHalfWritten(session: Session, gateway: Gateway, { namenode }: Hadoop): Promise<void> {
  await session.check('a model that is published', 'is not served while a writer has it open', async () => {
    const http = new StoreHttp({ refuse: () => undefined, connectTimeoutMs: 3_000 })
    const fs = new WebHdfs({
      http,
      namenodes: [namenode],
      dataNodes: ['localhost'],
      user: 'interop',
      timeoutMs: 10_000,
    })
    const { promise: whole, resolve: finish } = Promise.withResolvers<void>()
    const bytes = model(7)
    async function* slowly(): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 40)
      await whole
      yield bytes.subarray(40)
    }
    const path = '/models/times/9/model.onnx'
    const writing = fs.create(path, slowly(), { signal: AbortSignal.timeout(60_000) })
    try {
      await eventually(
        async () => {
          if (!(await fs.status(path))) throw new Error('the writer has not begun')
        },
        { timeoutMs: 10_000 },
      )
      // Two looks of the gateway at it.
      const looks = await lookCount(gateway)
      await eventually(
        async () => {
          if ((await lookCount(gateway)) < looks + 2) throw new Error('no two looks')
        },
        { timeoutMs: 20_000 },
      )
      const { value } = await product(gateway)
      return value === 3 ? undefined : `answered ${String(value)}`
    } finally {
      finish()
      await writing
      await fs.delete('/models/times/9', { recursive: true })
      await eventually(
        async () => {
          const { value } = await product(gateway)
          if (value !== 3) throw new Error(`answered ${String(value)}`)
          const { body } = await ask(gateway.admin, { path: '/readyz' })
          if (body.toString().includes('version 9')) throw new Error('version 9 is still there')
        },
        { timeoutMs: 20_000 },
      )
      await http.close()
    }
  })
}

async function lookCount({ admin }: Gateway): Promise<number> {
  const { body } = await ask(admin, { path: '/metrics' })
  const sample =
    /^infergate_model_store_operations_total\{[^}]*operation="look"[^}]*outcome="ok"[^}]*\} (\d+)/m
  return Number(sample.exec(body.toString())?.[1] ?? 0)
}
