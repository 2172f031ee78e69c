/**
 * Builds the publishable tree in `dist`: the sources as a bundle, and their types file by file. `--out DIR` builds elsewhere;
 * `--no-check` looks for no type errors, which takes half the time.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, rmSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { bundle } from './bundle.ts'

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
const types = spawnSync(process.execPath, [tsc, ...options], { cwd: root, stdio: 'inherit' })
if (types.status !== 0) process.exit(types.status ?? 1)

await bundle(out)
chmodSync(join(out, 'main.js'), 0o755)
