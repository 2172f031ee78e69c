/**
 * The files of the dashboard. A built gateway has them ready beside its own; one that runs from its sources makes
 * JavaScript of them when they are asked for.
 */
import { hash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { PageFile } from '../control/admin/contract.ts'

const IS_BUILT = extname(import.meta.filename) === '.js'
const FOLDER = join(import.meta.dirname, IS_BUILT ? 'dashboard' : '../dashboard')

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

const ready = new Map<string, PageFile>()

/** Undefined: there is no such file. `name` has no slash. */
export async function dashboardFile(name: string): Promise<PageFile | undefined> {
  const known = ready.get(name)
  if (known) return known
  const contentType = TYPES[extname(name)]
  if (contentType === undefined) return undefined
  const body = await (IS_BUILT ? readFile(join(FOLDER, name)) : fromSources(name)).catch(missing)
  if (body === undefined) return undefined
  const file = { contentType, body, etag: `"${hash('sha256', body, 'base64url').slice(0, 22)}"` }
  // Files of the installation, so there are few. Sources may be edited while they are looked at.
  if (IS_BUILT) ready.set(name, file)
  return file
}

async function fromSources(name: string): Promise<Buffer> {
  if (name === 'uplot.js') return readFile(fileURLToPath(import.meta.resolve('uplot/dist/uPlot.esm.js')))
  if (name === 'uplot.css') return readFile(fileURLToPath(import.meta.resolve('uplot/dist/uPlot.min.css')))
  if (extname(name) !== '.js') return readFile(join(FOLDER, name))
  const source = await readFile(join(FOLDER, name.replace(/js$/, 'ts')), 'utf8')
  const script = stripTypeScriptTypes(source)
  return Buffer.from(script.replace(/ from '(?:\.\/([\w-]+)\.ts|(uplot))'/g, " from './$1$2.js'"))
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
