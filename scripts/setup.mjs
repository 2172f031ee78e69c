/**
 * Makes a fresh clone ready to run: `npm start`, `npm test` and `npm run check` call it first.
 *
 * It installs the packages of package-lock.json when they are not there yet, makes sure that a
 * Node 24 or newer will run the project, and with `--for-tests` that redis-server and memcached
 * exist. With `--for-running` it leaves out the packages that only development needs, and the Node
 * of scripts/node where the machine's own is new enough. It runs on whatever Node the machine came with (18 or newer), hence plain JavaScript
 * without a single dependency. When all is ready it says nothing and costs two file reads: what is
 * needed only to install is imported only then.
 */
import { existsSync, lstatSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Failure, say } from './setup/say.mjs'
import { adoptable, hasEverything, isStamped, stampOf, writeStamp } from './setup/stamp.mjs'

const OLDEST_NODE = 24

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')

try {
  await ensurePackages()
  if (process.argv.includes('--for-tests')) {
    const { ensureServers } = await import('./setup/servers.mjs')
    await ensureServers(oneAtATime)
  }
} catch (error) {
  if (!(error instanceof Failure)) throw error
  say(error.message)
  process.exitCode = 1
}

async function ensurePackages() {
  const stamp = stampOf(root)
  // A folder that had everything keeps everything: whoever develops starts the gateway as well.
  const isWhole = !process.argv.includes('--for-running') || hasEverything(modules)
  if (!isStamped(modules, stamp, isWhole)) return oneAtATime(() => install(stamp, isWhole))
  // The machine's own Node may have changed since; the one from the packages cannot have.
  if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) await checkNode()
}

async function install(stamp, isWhole) {
  // Whoever held the lock before us may just have done the work.
  if (isStamped(modules, stamp, isWhole)) return
  const { ensureNode, isOwnNodeFine } = await import('./setup/runtime.mjs')
  const scope = { isWhole, withNode: isWhole || !isOwnNodeFine(OLDEST_NODE) }
  // Still there when an installation of ours was cut short: npm's own notes are then not to be believed.
  const unfinished = join(root, '.cache', 'setup.unfinished')
  if (existsSync(unfinished) || !adoptable(root, scope)) {
    if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink()) {
      throw new Failure(
        'node_modules is a symbolic link and does not hold what package-lock.json asks for. ' +
          'Run npm start in the folder it points to, or remove the link.',
      )
    }
    const { installPackages } = await import('./setup/packages.mjs')
    writeFileSync(unfinished, '')
    await installPackages(root, scope)
  }
  const node = ensureNode(modules, OLDEST_NODE)
  if (node !== undefined && !adoptable(root, scope)) {
    const { completePackages } = await import('./setup/packages.mjs')
    await completePackages(root, scope, node)
  }
  writeStamp(modules, stamp, isWhole)
  rmSync(unfinished, { force: true })
}

async function checkNode() {
  const { ensureNode } = await import('./setup/runtime.mjs')
  ensureNode(modules, OLDEST_NODE)
}

async function oneAtATime(work) {
  const { whileLocked } = await import('./setup/file-lock.mjs')
  return whileLocked(join(root, '.cache', 'setup.lock'), work)
}
