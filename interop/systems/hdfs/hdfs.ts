/**
 * Models published to HDFS by Hadoop's own shell, and followed by the gateway over WebHDFS; predictions that the gateway logs
 * there, read by Spark.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StoreHttp } from '../../../src/store/http.ts'
import { WebHdfs } from '../../../src/store/webhdfs.ts'
import { ask } from '../../suite/ask.ts'
import { eventually } from '../../suite/eventually.ts'
import type { Gateway } from '../../suite/gateway.ts'
import type { Session, System } from '../../suite/session.ts'
import { following, model, type PublishedStore, product, tryAway, tryPublished } from '../followed.ts'
import { openSpark, sparkPython } from '../spark/python.ts'
import { type Hadoop, installHadoop, startHadoop } from './hadoop.ts'
import { tryPredictions } from './predictions.ts'

/** Where the versions of the model are published. */
const MODELS = '/models/times'

export const hdfs: System = {
  name: 'hdfs',
  title: 'Hadoop HDFS: models published to it, predictions logged to it and read back by Spark',
  guide: 'model-stores.md',
  async run(session) {
    const java = await installHadoop(session)
    const spark = sparkPython(session, ['pyspark']).then((python) => openSpark(session, python, 'local[2]'))
    // Without it only the check that needs it is skipped. An installation takes longer than a check may.
    await spark.catch(() => {})
    await session.together(
      (session) => tryModels(session, java),
      async (session) => {
        const hadoop = await startHadoop(session, java, 'of-predictions')
        await tryPredictions(session, { hadoop, spark })
      },
    )
  },
}

async function tryModels(session: Session, java: string): Promise<void> {
  const hadoop = await startHadoop(session, java, 'of-models')
  const store = { ...hadoop, publish: publisher(session, hadoop) }
  const [gateway] = await Promise.all([
    session.gateway({
      name: 'followed',
      upstream: '',
      settings: following(session, `hdfs://cluster${MODELS}`, {
        // Nobody listens at the first, as at a NameNode that is down.
        hdfs: {
          namenodes: ['http://127.0.0.1:1', hadoop.namenode],
          user: 'interop',
          dataNodes: ['localhost'],
        },
      }),
      readyStatus: 503,
    }),
    hadoop.shell('-mkdir', '-p', MODELS),
  ])
  await tryPublished(session, gateway, store)
  await tryHalfWritten(session, gateway, hadoop)
  await tryAway(session, gateway, store)
}

/** `hadoop fs -put` of a version's folder, which writes each file under another name first. */
function publisher(session: Session, { shell }: Hadoop): PublishedStore['publish'] {
  return async (version, bytes) => {
    const folder = join(session.folder, 'published', String(version))
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'model.onnx'), bytes)
    await shell('-put', '-f', folder, MODELS)
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
    const path = `${MODELS}/9/model.onnx`
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
      await fs.delete(`${MODELS}/9`, { recursive: true })
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
