/** Python with Spark, and integrations/spark installed as its users do. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findJava } from '../../suite/java.ts'
import { ROOT } from '../../suite/places.ts'
import type { PythonEnvironment } from '../../suite/python.ts'
import type { Session } from '../../suite/session.ts'

const run = promisify(execFile)
export const PACKAGE = join(ROOT, 'integrations', 'spark')
const SPARK_MS = 280_000
const PIP_MS = 120_000

export const ENVIRONMENT: PythonEnvironment = {
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

/** Runs a script of Spark and gives what it printed; rejects with the last lines of its output where it fails. */
export type SparkScript = (...args: readonly string[]) => Promise<string>

/** Rejects with NotInstalled where there is no Java, or no Spark. `packages` are those whose versions the page shows. */
export async function sparkPython(session: Session, packages: readonly string[]): Promise<SparkScript> {
  const java = await findJava(session)
  const { command } = await session.python(ENVIRONMENT, packages)
  const installed = join(session.folder, 'packages')
  // Into a folder of this run, so that it is the package of this checkout; what it asks for is in the environment.
  const pip = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', installed, PACKAGE]
  await run(command, pip, { timeout: PIP_MS })
  const env = {
    ...process.env,
    ...java.env,
    PYTHONPATH: installed,
    PYSPARK_PYTHON: command,
    SPARK_LOCAL_IP: '127.0.0.1',
    SPARK_LOCAL_DIRS: session.folder,
    TF_CPP_MIN_LOG_LEVEL: '3',
  }
  return async (...args) => {
    const options = { cwd: session.folder, env, timeout: SPARK_MS, maxBuffer: 64 << 20 }
    try {
      return (await run(command, args, options)).stdout
    } catch (error) {
      throw new Error(lastLines(error as Error & Partial<Output>), { cause: error })
    }
  }
}

interface Output {
  readonly stdout: string
  readonly stderr: string
}

function lastLines({ stdout = '', stderr = '', message }: Error & Partial<Output>): string {
  const lines = `${stdout.trim()}\n${stderr.trim()}`
    .split('\n')
    .filter((line) => !/WARN|INFO|^\s+at /.test(line))
  return lines.slice(-3).join(' ').trim() || message
}
