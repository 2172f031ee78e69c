/**
 * Python environments under `.cache/interop`, installed once: a stamp says with what. An environment can stand on
 * another one, whose packages it then sees, so that the largest (PyTorch) is on the disk once.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { NotInstalled } from './not-installed.ts'
import { CACHE } from './places.ts'
import { run } from './run.ts'

const INSTALL_MS = 45 * 60_000
const QUICK_MS = 60_000

export interface PythonEnvironment {
  readonly name: string
  /** What pip is asked for, versions pinned. */
  readonly packages: readonly string[]
  /** Installed as they are, without what they ask for: packages whose own pins would undo others. */
  readonly alone?: readonly string[]
  /** The environment whose packages are seen as well, behind its own. */
  readonly on?: PythonEnvironment
  /** Put in front of a file of a package that does not run as it is. */
  readonly prelude?: { readonly file: string; readonly text: string }
}

export interface Python {
  /** The interpreter. */
  readonly command: string
  /** A program that a package has installed. */
  program(name: string): string
  /** The version of an installed package. */
  version(name: string): Promise<string>
}

/**
 * The environment, installed if it is not there yet in just this form. Rejects with NotInstalled where pip fails or
 * there is no Python. `say` hears of an installation that begins.
 */
export async function pythonEnvironment(
  environment: PythonEnvironment,
  say: (line: string) => void,
): Promise<Python> {
  if (environment.on) await pythonEnvironment(environment.on, say)
  const folder = join(CACHE, 'environments', environment.name)
  const stamp = join(folder, 'installed.json')
  const wanted = JSON.stringify({ python: await pythonVersion(), ...environment }, null, 2)
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
    say(`installing ${environment.packages.join(' ')}`)
    await install(environment, folder)
    writeFileSync(stamp, wanted)
  }
  const command = join(folder, 'bin', 'python')
  return {
    command,
    program: (name) => join(folder, 'bin', name),
    version: async (name) => {
      const code = `from importlib.metadata import version; print(version(${JSON.stringify(name)}))`
      return (await run(command, ['-c', code], { timeoutMs: QUICK_MS })).stdout.trim()
    },
  }
}

async function install(environment: PythonEnvironment, folder: string): Promise<void> {
  const { name, packages, alone = [], on, prelude } = environment
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  try {
    await run('python3', ['-m', 'venv', folder], { timeoutMs: QUICK_MS })
    const python = join(folder, 'bin', 'python')
    if (on) await see(python, join(CACHE, 'environments', on.name))
    await pip(python, packages)
    if (alone.length > 0) await pip(python, ['--no-deps', ...alone])
    if (prelude) putInFront(join(await packagesOf(python), prelude.file), prelude.text)
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string }
    const lines = stderr.trim().split('\n').slice(-3).join(' ')
    throw new NotInstalled(`the environment ${name} cannot be installed: ${lines || message}`, {
      cause: error,
    })
  }
}

async function pip(python: string, packages: readonly string[]): Promise<void> {
  const options = { timeoutMs: INSTALL_MS }
  await run(python, ['-m', 'pip', 'install', '--no-input', '--quiet', ...packages], options)
}

/** A `.pth` file is read at every start of the interpreter, and what it names comes behind the environment's own. */
async function see(python: string, base: string): Promise<void> {
  const its = await packagesOf(join(base, 'bin', 'python'))
  writeFileSync(join(await packagesOf(python), 'base.pth'), `${its}\n`)
}

/** The folder of an interpreter's packages. */
async function packagesOf(python: string): Promise<string> {
  const code = 'import sysconfig; print(sysconfig.get_path("purelib"))'
  return (await run(python, ['-c', code], { timeoutMs: QUICK_MS })).stdout.trim()
}

const putInFront = (file: string, text: string): void =>
  writeFileSync(file, `${text}\n${readFileSync(file, 'utf8')}`)

async function pythonVersion(): Promise<string> {
  try {
    return (await run('python3', ['--version'], { timeoutMs: QUICK_MS })).stdout.trim()
  } catch (error) {
    throw new NotInstalled('there is no python3', { cause: error })
  }
}
