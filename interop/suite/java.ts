/** Java for the servers that need one: the machine's, or Debian's, unpacked and not installed. */
import { delimiter, dirname } from 'node:path'
import { debianProgram } from './debian.ts'
import { run } from './run.ts'
import type { Session } from './session.ts'

/** What Spark, Hadoop and TorchServe ask for at least. */
const OLDEST = 17
const PACKAGE = `openjdk-${OLDEST}-jre-headless`
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = { x64: 'amd64' }
const QUICK_MS = 60_000

export interface Java {
  /** The program. */
  readonly command: string
  /** What programs need that look for it themselves. */
  readonly env: Readonly<Record<string, string>>
}

/** Rejects with NotInstalled where there is none and none can be had. */
export async function findJava(session: Session): Promise<Java> {
  const found = await versionOf('java')
  if (found !== undefined && Number.parseInt(found) >= OLDEST) {
    session.uses('Java', found)
    return { command: 'java', env: {} }
  }
  const home = `usr/lib/jvm/java-${OLDEST}-openjdk-${ARCHITECTURES[process.arch] ?? process.arch}`
  const command = await debianProgram(PACKAGE, `${home}/bin/java`, session.say)
  session.uses('Java', (await versionOf(command)) ?? 'unknown')
  const bin = dirname(command)
  return {
    command,
    env: { JAVA_HOME: dirname(bin), PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}` },
  }
}

/** Undefined where it does not run. */
async function versionOf(command: string): Promise<string | undefined> {
  try {
    const { stderr } = await run(command, ['-version'], { timeoutMs: QUICK_MS })
    return /version "([^"]+)"/.exec(stderr)?.[1]
  } catch {
    return undefined
  }
}
