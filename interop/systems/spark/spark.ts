/** Spark: rows scored through the gateway by integrations/spark, and prediction logs read back. */

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { SettingsInput } from '../../../src/config/schema.ts'
import { answers } from '../../suite/ask.ts'
import type { Gateway } from '../../suite/gateway.ts'
import { CACHE, ROOT } from '../../suite/places.ts'
import { freePorts } from '../../suite/processes.ts'
import type { PythonEnvironment } from '../../suite/python.ts'
import { RunFailed, run } from '../../suite/run.ts'
import type { Session, System } from '../../suite/session.ts'
import {
  ENVIRONMENT,
  openSpark,
  PACKAGE,
  type SparkPython,
  type SparkSession,
  sparkPython,
} from './python.ts'

const SLOW_MS = 280_000

const TYPES: PythonEnvironment = {
  name: 'spark-types',
  packages: ['mypy==2.4.1', 'pandas-stubs==3.1.0.261029'],
  on: ENVIRONMENT,
}

export const spark: System = {
  name: 'spark',
  title: 'Spark: scoring by a pandas UDF, prediction logs read back',
  guide: 'spark.md',
  async run(session) {
    const shown = ['pyspark', 'pandas', 'tensorflow-cpu', 'tensorflow-serving-api']
    const python = await sparkPython(session, shown)
    // On two executors, as processes of their own.
    const scripts = openSpark(session, python, 'local-cluster[2,1,1024]')
    await session.together(
      (session) => tryPackage(session, python),
      async (session) => {
        const gateways = await startGateways(session)
        await tryScoring(session, scripts, gateways)
        await tryLogs(session, scripts, gateways)
      },
    )
  },
}

async function tryPackage(session: Session, { command, env }: SparkPython): Promise<void> {
  await session.check('package', 'its own tests', async () => {
    const tests = ['-m', 'unittest', 'discover', '-s', join(PACKAGE, 'tests')]
    await run(command, tests, { cwd: session.folder, env, timeoutMs: SLOW_MS })
    return undefined
  })
  await session.check('package', 'its types, by mypy --strict', async () => {
    const types = await session.python(TYPES, ['mypy'])
    return mypy(types.command, session.folder)
  })
}

type GatewayOf<Name extends string> = Readonly<Record<Name, Gateway>>

interface Gateways {
  readonly scoring: GatewayOf<Protocol>
  readonly logging: GatewayOf<Format>
}

type Protocol = 'v2' | 'v1'
type Format = 'jsonl' | 'tfrecord'

async function startGateways(session: Session): Promise<Gateways> {
  const direct = await startModel(session)
  const scoring = (protocol: Protocol) =>
    session.gateway({ name: `rows-${protocol}`, upstream: direct, settings: rowByRow(direct) })
  const logging = (format: Format) => {
    const settings = rowByRow(direct, { to: logOf(session, format), format, roll: { every: '3s' } })
    mkdirSync(logOf(session, format))
    return session.gateway({ name: `log-${format}`, upstream: direct, settings })
  }
  const [v2, v1, jsonl, tfrecord] = await Promise.all([
    scoring('v2'),
    scoring('v1'),
    logging('jsonl'),
    logging('tfrecord'),
  ])
  return { scoring: { v2, v1 }, logging: { jsonl, tfrecord } }
}

const logOf = ({ folder }: Session, format: Format): string => join(folder, format)

async function tryScoring(session: Session, scripts: SparkSession, { scoring }: Gateways): Promise<void> {
  const script = join(PACKAGE, 'examples', 'zipf.py')
  for (const protocol of ['v2', 'v1'] as const) {
    const name = `Zipf's rows on two executors, ${protocol}: the order is kept, every repeat is saved`
    const output = protocol === 'v1' ? ['--output-name', 'probabilities'] : []
    await session.check('scoring', name, async () => {
      await scripts.run(script, scoring[protocol].url, 'digits', '--protocol', protocol, ...output)
      return undefined
    })
  }
}

async function tryLogs(session: Session, scripts: SparkSession, { logging }: Gateways): Promise<void> {
  const script = join(import.meta.dirname, 'read_back.py')
  for (const format of ['jsonl', 'tfrecord'] as const) {
    const name = `${format}: every row that was scored, as it was answered`
    await session.check('prediction log', name, async () => {
      await scripts.run(script, logging[format].url, logOf(session, format), format)
      return undefined
    })
  }
}

/** Undefined where it finds nothing, otherwise what it found. */
async function mypy(python: string, cwd: string): Promise<string | undefined> {
  const folders = ['src', 'tests', 'examples'].map((name) => join(PACKAGE, name))
  const args = ['-m', 'mypy', '--strict', '--cache-dir', join(CACHE, 'mypy'), ...folders]
  try {
    await run(python, args, { cwd, timeoutMs: SLOW_MS })
    return undefined
  } catch (error) {
    if (error instanceof RunFailed) return error.stdout || error.message
    throw error
  }
}

async function startModel(session: Session): Promise<string> {
  const [port] = await freePorts(1)
  const direct = `http://127.0.0.1:${port}`
  await session.start(
    {
      name: 'infergate model-server',
      command: process.execPath,
      args: [
        join(ROOT, 'src', 'main.ts'),
        'model-server',
        '--model',
        `digits=${join(ROOT, 'models', 'digits.onnx')}`,
        '--listen',
        `127.0.0.1:${port}`,
      ],
      ready: () => answers(direct, '/v2/health/ready'),
    },
    'infergate model-server --model digits=models/digits.onnx',
  )
  return direct
}

type RouteLog = NonNullable<NonNullable<SettingsInput['routes']>[number]['log']>

const rowByRow = (direct: string, log?: RouteLog): SettingsInput => ({
  pools: { upstream: { backends: [{ url: direct }] } },
  routes: [{ pool: 'upstream', cache: { rows: 'always' }, ...(log ? { log } : {}) }],
})
