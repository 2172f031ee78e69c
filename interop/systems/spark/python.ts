/** Python with Spark, and integrations/spark installed as its users do. */
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { within } from '../../suite/eventually.ts'
import { findJava } from '../../suite/java.ts'
import { spawnMarked } from '../../suite/marked.ts'
import { ROOT } from '../../suite/places.ts'
import { tail } from '../../suite/processes.ts'
import type { PythonEnvironment } from '../../suite/python.ts'
import { run } from '../../suite/run.ts'
import type { Session } from '../../suite/session.ts'

export const PACKAGE = join(ROOT, 'integrations', 'spark')
const SCRIPT_MS = 280_000
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

export interface SparkPython {
  /** The interpreter. */
  readonly command: string
  readonly env: NodeJS.ProcessEnv
}

/** Rejects with NotInstalled where there is no Java, or no Spark. `packages` are those whose versions the page shows. */
export async function sparkPython(session: Session, packages: readonly string[]): Promise<SparkPython> {
  const java = await findJava(session)
  const { command } = await session.python(ENVIRONMENT, packages)
  const installed = join(session.folder, 'packages')
  // Into a folder of this run, so that it is the package of this checkout; what it asks for is in the environment.
  const pip = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', installed, PACKAGE]
  await run(command, pip, { timeoutMs: PIP_MS })
  return {
    command,
    env: {
      ...java.env,
      PYTHONPATH: installed,
      PYSPARK_PYTHON: command,
      SPARK_LOCAL_IP: '127.0.0.1',
      SPARK_LOCAL_DIRS: session.folder,
      TF_CPP_MIN_LOG_LEVEL: '3',
      // Of processes that live for a minute at most: what starts quickly.
      JDK_JAVA_OPTIONS: '-XX:+UseSerialGC -XX:TieredStopAtLevel=1',
    },
  }
}

export interface SparkSession {
  /** Runs a script, a file with a function `run`, after those before it; gives what it printed, rejects with why it failed. */
  run(script: string, ...args: readonly string[]): Promise<string>
}

/** Starts a session, which goes on while the caller does something else: scripts wait until it is there. */
export function openSpark(session: Session, { command, env }: SparkPython, master: string): SparkSession {
  const log = join(session.folder, 'spark.log')
  const output = openSync(log, 'a')
  const { child, kill, forget } = spawnMarked(command, [join(import.meta.dirname, 'session.py'), master], {
    cwd: session.folder,
    env,
    stdio: ['pipe', 'pipe', output],
  })
  closeSync(output)
  child.on('error', () => {})
  child.stdin?.on('error', () => {})
  session.owns({
    async stop() {
      kill()
      forget()
    },
  })
  const answers = answersOf(child.stdout as NodeJS.ReadableStream)
  return {
    async run(script, ...args) {
      child.stdin?.write(`${JSON.stringify([script, ...args])}\n`)
      const { value: answer } = await within(SCRIPT_MS, script, answers.next())
      if (!answer) throw new Error(`Spark ended: ${tail(log)}`)
      if (answer.failed !== undefined) throw new Error(answer.failed)
      return answer.printed ?? ''
    },
  }
}

interface ScriptAnswer {
  readonly printed?: string
  readonly failed?: string
}

async function* answersOf(output: NodeJS.ReadableStream): AsyncGenerator<ScriptAnswer, undefined> {
  // What Spark itself prints is no answer.
  for await (const line of createInterface({ input: output }))
    if (line.startsWith('{')) yield JSON.parse(line) as ScriptAnswer
  return undefined
}
