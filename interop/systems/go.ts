/** Programs written in Go, built from their modules once. */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { NotInstalled } from '../suite/not-installed.ts'
import { CACHE } from '../suite/places.ts'

const run = promisify(execFile)
const BUILD_MS = 15 * 60_000

export interface GoPrograms {
  readonly module: string
  readonly version: string
  /** Modules that it needs and does not name itself, with their versions. */
  readonly needs?: Readonly<Record<string, string>>
  /** Paths of packages below the module; the last part of each is the program's name. */
  readonly packages: readonly string[]
}

/** The folder of the programs. Rejects with NotInstalled where they cannot be built. */
export async function goPrograms(programs: GoPrograms, say: (line: string) => void): Promise<string> {
  const { module, version, needs = {}, packages } = programs
  const name = `${module.split('/').at(-1)}-${version}`
  const folder = join(CACHE, 'go', name)
  const paths = packages.map((path) => `${module}/${path}`)
  if (paths.every((path) => existsSync(join(folder, 'bin', path.split('/').at(-1) ?? '')))) {
    return join(folder, 'bin')
  }
  say(`building ${name}`)
  mkdirSync(folder, { recursive: true })
  const go = (...args: string[]) => run('go', args, { cwd: folder, timeout: BUILD_MS })
  const required = Object.entries({ [module]: version, ...needs }).map((one) => `\t${one.join(' ')}\n`)
  writeFileSync(join(folder, 'go.mod'), `module programs\n\ngo 1.24.0\n\nrequire (\n${required.join('')})\n`)
  const imports = paths.map((path) => `import _ "${path}"\n`).join('')
  writeFileSync(join(folder, 'tools.go'), `//go:build tools\n\npackage programs\n\n${imports}`)
  try {
    await go('mod', 'tidy')
    await go('build', '-o', `bin/`, ...paths)
  } catch (error) {
    throw new NotInstalled(`${name} cannot be built: ${String(error).slice(0, 500)}`, { cause: error })
  }
  return join(folder, 'bin')
}
