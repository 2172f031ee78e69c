/** Spark: rows scored through the gateway by integrations/spark, and prediction logs read back. */

import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { SettingsInput } from '../../../src/config/schema.ts'
import { answers } from '../../suite/ask.ts'
import { ROOT } from '../../suite/places.ts'
import { freePorts } from '../../suite/processes.ts'
import type { PythonEnvironment } from '../../suite/python.ts'
import type { Session, System } from '../../suite/session.ts'
import { ENVIRONMENT, PACKAGE, sparkPython } from './python.ts'

const run = promisify(execFile)

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
    const script = async (...args: string[]) => void (await python(...args))
    await session.check('package', 'its own tests', () =>
      script('-m', 'unittest', 'discover', '-s', join(PACKAGE, 'tests')),
    )
    await session.check('package', 'its types, by mypy --strict', async () => {
      const { command } = await session.python(TYPES, ['mypy'])
      return await mypy(command, session.folder)
    })
    const direct = await startModel(session)
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

/** Undefined where it finds nothing, otherwise what it found. */
async function mypy(python: string, cwd: string): Promise<string | undefined> {
  const folders = ['src', 'tests', 'examples'].map((name) => join(PACKAGE, name))
  const args = ['-m', 'mypy', '--strict', '--cache-dir', join(cwd, 'mypy'), ...folders]
  const found = await run(python, args, { cwd, timeout: 280_000 }).catch(
    (error: { stdout?: string }) => error,
  )
  return 'code' in found ? (found.stdout ?? 'it did not start') : undefined
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
