/**
 * Predictions logged to HDFS under a load, read back by Spark: the NameNode is killed in the middle, the gateway is drained and
 * started again while it is away, and what was answered is in the log once.
 */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SettingsInput } from '../../../src/config/schema.ts'
import { answers } from '../../suite/ask.ts'
import { eventually } from '../../suite/eventually.ts'
import { ROOT } from '../../suite/places.ts'
import { freePorts } from '../../suite/processes.ts'
import type { Session } from '../../suite/session.ts'
import { model } from '../followed.ts'
import type { SparkSession } from '../spark/python.ts'
import type { Hadoop } from './hadoop.ts'
import { FACTOR, Gateways, Load } from './load.ts'

const GROUP = 'predictions logged to it, read back by Spark'
const DIRECTORY = '/predictions'
const PATIENCE = { timeoutMs: 60_000 }

/** One record of the log, as Spark gives it. */
interface Logged {
  readonly id: string
  readonly asked: string
  readonly answered: string
  readonly cache: string
}

interface Tried {
  readonly hadoop: Hadoop
  readonly gateways: Gateways
  readonly load: Load
}

export async function tryPredictions(
  session: Session,
  { hadoop, spark }: { readonly hadoop: Hadoop; readonly spark: Promise<SparkSession> },
): Promise<void> {
  const direct = await startModel(session)
  const options = { name: 'logged', upstream: direct, settings: logging(session, direct, hadoop) }
  const gateways = new Gateways(session, options)
  await gateways.start()
  const load = new Load(gateways)
  try {
    await tryDeaths(session, { hadoop, gateways, load })
  } finally {
    await load.stop()
  }
  await session.check(GROUP, 'a drained gateway leaves nothing behind', async () => {
    await gateways.stop()
    const left = spooled(session)
    return left.length === 0 ? undefined : `${left.join(', ')} was not published`
  })
  await session.check(GROUP, 'every call that was answered is there once, as it was answered', async () => {
    const { run } = await spark
    const script = join(import.meta.dirname, 'read_log.py')
    const logged = recordsOf(await run(script, `${hadoop.url}${DIRECTORY}`))
    const isAnyHit = logged.some(({ cache }) => cache === 'hit')
    return missing(load, logged) ?? (isAnyHit ? undefined : 'no hit is there')
  })
}

const recordsOf = (printed: string): Logged[] =>
  printed
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Logged)

async function tryDeaths(session: Session, { hadoop, gateways, load }: Tried): Promise<void> {
  const check = (name: string, work: () => Promise<string | void>) =>
    session.check(GROUP, name, async () => (await work()) ?? undefined)
  await check('files appear there while the gateway serves', async () => {
    await load.answers(200)
    await gateways.published(1)
  })
  await check('calls are answered while the NameNode is away (kill -9)', async () => {
    await hadoop.kill()
    await load.answers(500)
    await gateways.retried(1)
  })
  await check('a gateway that is drained meanwhile keeps them for its next start', async () => {
    await gateways.stop()
    const { length } = spooled(session)
    await gateways.start()
    await load.answers(200)
    return length > 0 ? undefined : 'nothing waited'
  })
  await check('they are published once the NameNode is back', async () => {
    await hadoop.restart()
    await allPublished(session)
  })
  await check('and so they are after its second death', async () => {
    await hadoop.kill()
    await load.answers(200)
    await hadoop.restart()
    await allPublished(session)
  })
}

async function startModel(session: Session): Promise<string> {
  const file = join(session.folder, 'logged.onnx')
  writeFileSync(file, model(FACTOR))
  const [port] = await freePorts(1)
  const listen = `127.0.0.1:${port}`
  await session.start({
    name: 'infergate model-server',
    command: process.execPath,
    args: [join(ROOT, 'src', 'main.ts'), 'model-server', '--model', `times=${file}`, '--listen', listen],
    ready: () => answers(`http://${listen}`, '/v2/health/ready'),
  })
  return `http://${listen}`
}

const spoolOf = (session: Session) => join(session.folder, 'store', 'spool')

/** Files that wait for HDFS. */
const spooled = (session: Session): string[] =>
  readdirSync(spoolOf(session), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.includes('.jsonl'),
  )

/** Resolves when nothing waits but the file that is written now and the one that is uploaded. */
function allPublished(session: Session): Promise<void> {
  return eventually(() => {
    const { length } = spooled(session)
    if (length > 2) throw new Error(`${length} files wait`)
  }, PATIENCE)
}

function logging(session: Session, direct: string, { namenode }: Hadoop): SettingsInput {
  return {
    server: { drainTimeout: '5s' },
    pools: { upstream: { backends: [{ url: direct }] } },
    routes: [
      {
        name: 'times',
        pool: 'upstream',
        cache: {},
        log: { to: `hdfs://cluster${DIRECTORY}`, roll: { every: '1s' } },
      },
    ],
    stores: {
      hdfs: { namenodes: [namenode], user: 'interop', dataNodes: ['localhost'] },
      dir: join(session.folder, 'store'),
      timeout: '3s',
    },
  }
}

/** In words how the log differs from what was answered. A call whose answer was lost on its way may be in the log. */
function missing({ sent }: Load, logged: readonly Logged[]): string | undefined {
  const byId = Map.groupBy(logged, ({ id }) => id)
  for (const [id, { asked, answered }] of sent) {
    const records = byId.get(id) ?? []
    byId.delete(id)
    if (records.length > 1) return `${id} is there ${records.length} times`
    const [record] = records
    if (answered === undefined && !record) continue
    if (!record) return `${id} was answered and is not there`
    if (record.asked !== asked) return `${id} asked ${asked}, and the log says ${record.asked}`
    if (answered !== undefined && record.answered !== answered)
      return `${id} was answered ${answered}, and the log says ${record.answered}`
  }
  return byId.size === 0 ? undefined : `nobody asked ${[...byId.keys()].slice(0, 3).join(', ')}`
}
