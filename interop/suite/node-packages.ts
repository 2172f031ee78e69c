/** npm packages under `.cache/interop`, installed once: clients that the gateway itself does not depend on. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { NotInstalled } from './not-installed.ts'
import { CACHE } from './places.ts'
import { run } from './run.ts'

const INSTALL_MS = 10 * 60_000

/** The folder whose `node_modules` has the package in just this version. Rejects with NotInstalled where npm fails. */
export async function nodePackage(name: string, version: string): Promise<string> {
  const folder = join(CACHE, 'npm', name)
  const file = join(folder, 'node_modules', name, 'package.json')
  if (existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version === version)
    return folder
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true }))
  try {
    await run('npm', ['install', '--no-audit', '--no-fund', '--save-exact', `${name}@${version}`], {
      cwd: folder,
      timeoutMs: INSTALL_MS,
    })
  } catch (error) {
    throw new NotInstalled(`the package ${name} cannot be installed: ${(error as Error).message}`, {
      cause: error,
    })
  }
  return folder
}
