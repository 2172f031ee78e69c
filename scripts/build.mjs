/**
 * Builds the publishable tree: src/*.ts compiled to dist/*.js, and the files of src that are not
 * TypeScript (the dashboard's page) copied beside them. `--out DIR` builds elsewhere; `--no-check` looks for no type
 * errors, which takes half the time.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { values } = parseArgs({
  options: { out: { type: 'string', default: 'dist' }, 'no-check': { type: 'boolean', default: false } },
})
const out = resolve(root, values.out)
if (!relative(root, out) || relative(root, out).startsWith('..'))
  throw new Error(`--out must be inside ${root}`)

rmSync(out, { recursive: true, force: true })
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
const options = ['-p', 'tsconfig.build.json', '--outDir', out, ...(values['no-check'] ? ['--noCheck'] : [])]
const compiled = spawnSync(process.execPath, [tsc, ...options], { cwd: root, stdio: 'inherit' })
if (compiled.status !== 0) process.exit(compiled.status ?? 1)

for (const entry of readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || entry.name.endsWith('.ts')) continue
  const from = join(entry.parentPath ?? entry.path, entry.name)
  cpSync(from, join(out, relative(join(root, 'src'), from)))
}
const main = join(out, 'main.js')
if (existsSync(main)) chmodSync(main, 0o755)
