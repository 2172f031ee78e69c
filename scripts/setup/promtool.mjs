/** promtool, with which `npm run check` tries the alerts: the machine's own, or that of Debian's package, unpacked into .cache. */

import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { run, tail } from './run.mjs'
import { Failure, say } from './say.mjs'
import { asRoot, onPath } from './servers.mjs'

const DEADLINE_MS = 5 * 60_000

// The package brings a server with its service: only one program of it is wanted, so it is not installed.
const UNPACK = `
set -e
cd "$1"
apt-get download prometheus || { apt-get update && apt-get download prometheus; }
dpkg-deb --extract prometheus_*.deb .
`

/** Its path. Rejects with a Failure that says what to install. */
export async function ensurePromtool(root) {
  if (onPath('promtool')) return 'promtool'
  const program = join(root, '.cache', 'promtool')
  if (!existsSync(program)) await unpack(program, join(root, '.cache'))
  return program
}

async function unpack(program, cache) {
  const how = 'the check needs promtool: install prometheus (Debian: apt-get install, macOS: brew install)'
  if (!onPath('apt-get') || !onPath('dpkg-deb')) throw new Failure(how)
  say('fetching promtool from Debian’s package of Prometheus (20 MB), once')
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, 'promtool-'))
  try {
    const [command, ...before] = asRoot().length > 0 ? asRoot() : ['sh']
    const args = [...before, '-c', UNPACK, 'sh', folder]
    const result = await run(command, args, { env: process.env, deadlineMs: DEADLINE_MS })
    if (result.code !== 0)
      throw new Failure(`${how}\n--- the end of apt-get’s output ---\n${tail(result.output)}`)
    renameSync(join(folder, 'usr', 'bin', 'promtool'), program)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
