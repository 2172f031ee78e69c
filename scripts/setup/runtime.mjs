/** Which Node will run the project: the one that came with the packages, or this machine's own. */
import { spawnSync } from 'node:child_process'
import { existsSync, realpathSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { Failure, say } from './say.mjs'

/** The Node that came with the packages, unless this machine's own will run the project. Throws when neither is `oldest` or newer. */
export function ensureNode(modules, oldest) {
  const bundled = join(modules, '.bin', process.platform === 'win32' ? 'node.cmd' : 'node')
  if (existsSync(bundled)) {
    const found = versionOf(bundled)
    if (found.major >= oldest) return realpathSync(bundled)
    // First on the PATH of npm's scripts, it would hide the machine's Node (musl instead of glibc does this).
    rmSync(bundled)
    say(`the Node that came with the packages does not run here (${found.text}); using this machine's own`)
  }
  const own = ownNode()
  if (own.major >= oldest) return undefined
  throw new Failure(
    `this machine needs Node ${oldest} or newer: the packages hold none that runs on ${process.platform}-${process.arch}, ` +
      `and the one on the PATH is ${own.text}. Install Node 26 from https://nodejs.org and try again.`,
  )
}

/** Whether this machine's own Node would do. */
export function isOwnNodeFine(oldest) {
  return ownNode().major >= oldest
}

function ownNode() {
  return versionOf('node', { PATH: pathWithoutModules() })
}

function versionOf(command, env = {}) {
  const ran = spawnSync(command, ['--version'], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 20_000,
  })
  const text = ran.error ? ran.error.message : (ran.stdout || ran.stderr).trim().split('\n')[0]
  const major = Number(/^v(\d+)\./.exec(text ?? '')?.[1] ?? 0)
  return { major, text: text || `exit ${ran.status ?? ran.signal}` }
}

function pathWithoutModules() {
  const parts = (process.env.PATH ?? '').split(delimiter)
  return parts.filter((part) => !part.includes('node_modules')).join(delimiter)
}
