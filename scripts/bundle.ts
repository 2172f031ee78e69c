/**
 * Bundles the sources, and the packages that every start needs, into some ninety JavaScript files: a gateway starts from them in
 * half the time that it takes from a thousand. All other packages stay outside, for npm to install.
 */
import { globSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { rolldown } from 'rolldown'

const root = join(import.meta.dirname, '..')
const src = join(root, 'src')

/** Packages that a gateway loads whatever its settings are. */
const EAGER = ['commander', 'lru-cache', 'pino', 'prom-client', 'yaml', 'zod']

/**
 * Writes the bundle to the folder `out`. A gateway may run from there meanwhile: files that do not differ are left alone, the
 * others are replaced in one step, and those that are no longer used are removed last.
 */
export async function bundle(out: string): Promise<void> {
  const build = await rolldown({
    input: entries(),
    platform: 'node',
    external: isOutside,
    tsconfig: false,
  })
  const { output } = await build.generate({ format: 'esm', sourcemap: true, comments: { jsdoc: false } })
  await build.close()
  for (const file of output) write(join(out, file.fileName), file.type === 'chunk' ? file.code : file.source)
  const modules = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []))
  write(join(out, 'LICENSES.txt'), licenses([...modules, ...(await bundleDashboard(join(out, 'dashboard')))]))
  const written = new Set(output.map(({ fileName }) => fileName))
  for (const name of readdirSync(out))
    if (/\.js(\.map)?$/.test(name) && !written.has(name)) rmSync(join(out, name))
}

/** Writes the dashboard to a folder: one script, and the files that are as they are. Returns the modules inside. */
async function bundleDashboard(out: string): Promise<readonly string[]> {
  const sources = join(src, 'dashboard')
  const build = await rolldown({ input: join(sources, 'main.ts'), platform: 'browser', tsconfig: false })
  const { output } = await build.generate({ format: 'esm', minify: true })
  await build.close()
  for (const chunk of output) if (chunk.type === 'chunk') write(join(out, chunk.fileName), chunk.code)
  for (const name of globSync('*.{html,css,svg}', { cwd: sources }))
    write(join(out, name), readFileSync(join(sources, name)))
  write(join(out, 'uplot.css'), readFileSync(join(root, 'node_modules/uplot/dist/uPlot.min.css')))
  return output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []))
}

function isOutside(id: string, importer: string | undefined): boolean {
  if (/^[./]/.test(id)) return false
  // What a package inside needs is inside as well.
  return isBuiltin(id) || !(importer?.includes('/node_modules/') || EAGER.includes(packageOf(id)))
}

const packageOf = (id: string): string => id.split('/', id.startsWith('@') ? 2 : 1).join('/')

/** The licenses of the packages that are inside, as they ask for. */
function licenses(modules: readonly string[]): string {
  const names = modules.flatMap((id) => /.*\/node_modules\/(.*)/.exec(id)?.[1] ?? [])
  const texts = [...new Set(names.map(packageOf))].sort().map((name) => {
    const folder = join(root, 'node_modules', name)
    const [file] = readdirSync(folder).filter((each) => /^licen[cs]e/i.test(each))
    return `${name}\n\n${readFileSync(join(folder, file ?? 'package.json'), 'utf8').trim()}\n`
  })
  return texts.join(`\n${'-'.repeat(80)}\n\n`)
}

/** Each in the same folder as the chunks, since a thread's file is looked for beside the one that starts it. */
function entries(): Record<string, string> {
  const programs = ['main', 'start', 'index', 'testing/index'].map((name) => [name, join(src, `${name}.ts`)])
  const threads = globSync('**/*-thread.ts', { cwd: src }).map((path) => [
    basename(path, '.ts'),
    join(src, path),
  ])
  return Object.fromEntries([...programs, ...threads])
}

function write(file: string, content: string | Uint8Array): void {
  if (read(file)?.equals(Buffer.from(content))) return
  mkdirSync(dirname(file), { recursive: true })
  const partial = `${file}.${process.pid}`
  writeFileSync(partial, content)
  renameSync(partial, file)
}

function read(file: string): Buffer | undefined {
  try {
    return readFileSync(file)
  } catch {
    return undefined
  }
}
