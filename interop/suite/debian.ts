/** Programs of Debian packages, unpacked under `.cache/interop` and not installed: no root is needed for it. */
import { existsSync, mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync, unlinkSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { NotInstalled } from './not-installed.ts'
import { CACHE } from './places.ts'
import { run } from './run.ts'

const DOWNLOAD_MS = 300_000

/** The path of a program, `usr/bin/etcd` of `etcd-server`. Rejects with NotInstalled where the package cannot be had. */
export async function debianProgram(
  name: string,
  program: string,
  say: (line: string) => void,
): Promise<string> {
  const folder = join(CACHE, 'debian', name)
  const path = join(folder, program)
  if (existsSync(path)) return path
  say(`unpacking ${name}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  try {
    await run('apt-get', ['download', name], { cwd: folder, timeoutMs: DOWNLOAD_MS })
    const [file = ''] = readdirSync(folder)
    await run('dpkg-deb', ['--extract', file, '.'], { cwd: folder, timeoutMs: DOWNLOAD_MS })
    turnLinks(folder)
  } catch (error) {
    throw new NotInstalled(`Debian's ${name} cannot be had: ${String(error)}`, { cause: error })
  }
  if (!existsSync(path)) throw new NotInstalled(`Debian's ${name} has no ${program}`)
  return path
}

/** Links to a place of the machine (Java's settings are in /etc) lead to the same place in the folder, where that is there. */
function turnLinks(folder: string): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) continue
    const link = join(entry.parentPath, entry.name)
    const target = readlinkSync(link)
    if (!isAbsolute(target) || !existsSync(join(folder, target))) continue
    unlinkSync(link)
    symlinkSync(join(folder, target), link)
  }
}
