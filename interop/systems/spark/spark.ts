/** Spark: rows scored through the gateway by integrations/spark, and prediction logs read back. */

import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { SettingsInput } from '../../../src/config/schema.ts'
import { answers } from '../../suite/ask.ts'
import { NotInstalled } from '../../suite/not-installed.ts'
import { ROOT } from '../../suite/places.ts'
import { freePorts } from '../../suite/processes.ts'
import type { Python, PythonEnvironment } from '../../suite/python.ts'
import type { Session, System } from '../../suite/session.ts'

const run = promisify(execFile)
const PACKAGE = join(ROOT, 'integrations', 'spark')
const SPARK_MS = 110_000

const ENVIRONMENT: PythonEnvironment = {
  name: 'spark',
  packages: [
    'pyspark==4.0.1',
    'pandas==3.1.1',
    'pyarrow==26.0.1',
    'numpy==2.4.6',
    'tensorflow-cpu==2.21.0',
    'tensorflow-serving-api==2.21.0',
  ],
}

export const spark: System = {
  name: 'spark',
  title: 'Spark: scoring by a pandas UDF, prediction logs read back',
  async run(session) {
    session.uses('Java', await java())
    const python = await session.python(ENVIRONMENT, [
      'pyspark',
      'pandas',
      'tensorflow-cpu',
      'tensorflow-serving-api',
    ])
    const direct = await startModel(session)
    const script = scripts(session, python)
    await session.check('package', 'its own tests', () =>
      script('-m', 'unittest', 'discover', '-s', join(PACKAGE, 'tests')),
    )
    for (const protocol of ['v2', 'v1']) {
      const gateway = await session.gateway({
        name: `rows-${protocol}`,
        upstream: direct,
        settings: rowByRow(direct),
      })
      await session.check(
        'scoring',
        `Zipf's rows on two executors, ${protocol}: the order is kept, every repeat is saved`,
        () =>
          script(
            join(PACKAGE, 'examples', 'zipf.py'),
            gateway.url,
            'digits',
            '--protocol',
            protocol,
            ...(protocol === 'v1' ? ['--output-name', 'probabilities'] : []),
          ),
      )
    }
    for (const format of ['jsonl', 'tfrecord'] as const) {
      const to = join(session.folder, format)
      mkdirSync(to)
      const settings = rowByRow(direct, { to, format, roll: { every: '3s' } })
      const gateway = await session.gateway({ name: `log-${format}`, upstream: direct, settings })
      await session.check('prediction log', `${format}: every row that was scored, as it was answered`, () =>
        script(join(import.meta.dirname, 'read_back.py'), gateway.url, to, format),
      )
    }
  },
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

/** Runs Python; undefined where it ends with 0, otherwise what it said last. */
function scripts(session: Session, python: Python) {
  const env = {
    ...process.env,
    PYTHONPATH: join(PACKAGE, 'src'),
    PYSPARK_PYTHON: python.command,
    SPARK_LOCAL_IP: '127.0.0.1',
    SPARK_LOCAL_DIRS: session.folder,
    TF_CPP_MIN_LOG_LEVEL: '3',
  }
  return async (...args: readonly string[]): Promise<string | undefined> => {
    try {
      await run(python.command, args, { cwd: session.folder, env, timeout: SPARK_MS, maxBuffer: 16 << 20 })
      return undefined
    } catch (error) {
      const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string }
      const lines = `${stdout.trim()}\n${stderr.trim()}`
        .split('\n')
        .filter((line) => !/WARN|INFO|^\s+at /.test(line))
      return lines.slice(-3).join(' ').trim() || message
    }
  }
}

async function java(): Promise<string> {
  try {
    const { stderr } = await run('java', ['-version'], { timeout: 60_000 })
    return /version "([^"]+)"/.exec(stderr)?.[1] ?? 'unknown'
  } catch (error) {
    throw new NotInstalled('there is no Java, which Spark needs: 17 or later', { cause: error })
  }
}
