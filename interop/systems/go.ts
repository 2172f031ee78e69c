/** Programs written in Go, built from their modules once. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { NotInstalled } from '../suite/not-installed.ts'
import { CACHE } from '../suite/places.ts'
import { run } from '../suite/run.ts'

const BUILD_MS = 45 * 60_000

export interface GoPrograms {
  readonly module: string
  readonly version: string
  /** Paths of packages below the module; the last part of each is the program's name. */
  readonly packages: readonly string[]
}

export interface GoDependencies {
  /** Modules that it needs and does not name itself, with their versions. */
  readonly needs?: Readonly<Record<string, string>>
  /** The `replace` lines for what its `go.mod` says: its own do not count in another module. */
  replace?(goMod: string): readonly string[]
}

type Say = (line: string) => void

/** The folder of the programs, built in a module of ours. Rejects with NotInstalled where they cannot be built. */
export function goPrograms(programs: GoPrograms & GoDependencies, say: Say): Promise<string> {
  const { module, version, packages, needs = {}, replace = () => [] } = programs
  return built(programs, say, async (folder) => {
    const paths = packages.map((path) => `${module}/${path}`)
    const { GoMod } = await downloaded(programs)
    const required = Object.entries({ [module]: version, ...needs }).map((one) => one.join(' '))
    const replaced = replace(readFileSync(GoMod, 'utf8'))
    const lists = [list('require', required), list('replace', replaced)]
    writeFileSync(join(folder, 'go.mod'), `module programs\n\ngo 1.24.0\n\n${lists.join('\n')}`)
    const imports = paths.map((path) => `import _ "${path}"\n`).join('')
    writeFileSync(join(folder, 'tools.go'), `//go:build tools\n\npackage programs\n\n${imports}`)
    await go(folder, 'mod', 'tidy')
    await go(folder, 'build', '-o', 'bin/', ...paths)
  })
}

/** The same, built within its own module, with the dependencies and `replace` lines of that. */
export function goProgramsOfModule(programs: GoPrograms, say: Say): Promise<string> {
  return built(programs, say, async (folder) => {
    const { Dir } = await downloaded(programs)
    const paths = programs.packages.map((path) => `./${path}`)
    await go(Dir, 'build', '-mod=readonly', '-o', `${join(folder, 'bin')}/`, ...paths)
  })
}

/** Where the module cache has a module: its folder, and its `go.mod`. */
export async function downloaded({ module, version }: Omit<GoPrograms, 'packages'>): Promise<Downloaded> {
  mkdirSync(CACHE, { recursive: true })
  return JSON.parse(await go(CACHE, 'mod', 'download', '-json', `${module}@${version}`)) as Downloaded
}

interface Downloaded {
  readonly Dir: string
  readonly GoMod: string
}

/** The folder that has the programs, once `build` has put them into its `bin`. */
async function built(
  { module, version, packages }: GoPrograms,
  say: Say,
  build: (folder: string) => Promise<void>,
): Promise<string> {
  const name = `${basename(module.replace(/\/v\d+$/, ''))}-${version}`
  const folder = join(CACHE, 'go', name)
  const bin = join(folder, 'bin')
  if (packages.every((path) => existsSync(join(bin, basename(path))))) return bin
  say(`building ${packages.map((path) => basename(path)).join(' and ')} of ${name}`)
  mkdirSync(bin, { recursive: true })
  try {
    await build(folder)
  } catch (error) {
    throw new NotInstalled(`${name} cannot be built: ${String(error).slice(0, 500)}`, { cause: error })
  }
  return bin
}

const list = (word: string, lines: readonly string[]): string =>
  lines.length === 0 ? '' : `${word} (\n${lines.map((line) => `\t${line}\n`).join('')})\n`

/** What the command printed. */
async function go(cwd: string, ...args: string[]): Promise<string> {
  return (await run('go', args, { cwd, timeoutMs: BUILD_MS })).stdout
}
