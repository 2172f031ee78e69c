/** Installs the packages, with errors a newcomer can act on. */
import fs, { existsSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { run, tail } from './run.mjs'
import { Failure, keepSaying, say } from './say.mjs'

const DEADLINE_MS = 20 * 60_000
/** What node_modules takes: what running needs, Node, and the tools. */
const RUNNING_MB = 390
const NODE_MB = 220
const TOOLS_MB = 250

/**
 * Installs the packages of the scope, without install scripts: no package of ours needs one, and some would download from
 * elsewhere.
 */
export async function installPackages(root, scope) {
  const size = RUNNING_MB + (scope.withNode ? NODE_MB : 0) + (scope.isWhole ? TOOLS_MB : 0)
  const full = `the disk is full: the packages need about ${size} MB here, and npm some more in its cache`
  const free = freeMb(root)
  if (!existsSync(join(root, 'node_modules')) && free < size + 100)
    throw new Failure(`${full}; ${free} MB are free`)
  say(
    `installing the packages of package-lock.json (about ${size} MB); this takes ten seconds to a few minutes, once`,
  )
  const done = keepSaying('still installing')
  let result = await askNpm(root, scope, ['ci'])
  // A lock file written against a mirror may lack other platforms' packages: npm ci refuses it, npm install does not.
  if (/Missing: .* from lock file/.test(result.output))
    result = await askNpm(root, scope, ['install', '--no-save'])
  const seconds = done()
  if (result.code !== 0) throw new Failure(explain(result, full))
  // npm does not notice a package that was cut off by a full disk.
  if (freeMb(join(root, 'node_modules')) < 1) throw new Failure(full)
  say(`packages installed in ${seconds} s`)
}

/**
 * Installs what npm has left out without a word: optional packages that are not for the Node it ran on. `node`: the one that will run
 * the project.
 */
export async function completePackages(root, scope, node) {
  const result = await askNpm(root, scope, ['install', '--no-save'], node)
  if (result.code !== 0) throw new Failure(explain(result, 'the disk is full'))
}

function freeMb(folder) {
  // Node before 18.15 cannot tell.
  if (fs.statfsSync === undefined) return Number.POSITIVE_INFINITY
  const { bavail, bsize } = fs.statfsSync(folder)
  return Math.floor((bavail * bsize) / 2 ** 20)
}

function askNpm(root, { isWhole, withNode }, words, node) {
  const [command, ...before] = npmCommand(node)
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error']
  const chosen = [
    isWhole ? '--include=dev' : '--omit=dev',
    '--include=optional',
    ...(withNode ? [] : ['--workspaces=false']),
  ]
  const args = [...before, ...words, '--ignore-scripts', ...chosen, ...quiet]
  return run(command, args, { cwd: root, env: npmEnvironment(node), deadlineMs: DEADLINE_MS })
}

/** The npm that called us, unless told otherwise run by the Node that ran it: `node_modules/.bin/node` is about to be replaced. */
function npmCommand(node = process.env.npm_node_execpath) {
  const { npm_execpath: npm } = process.env
  if (npm?.endsWith('npm-cli.js') && node && existsSync(node)) return [node, npm]
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm']
}

function npmEnvironment(node) {
  const parts = (process.env.PATH ?? '').split(delimiter)
  const others = parts.filter((part) => !part.includes('node_modules/.bin'))
  const env = { ...process.env, PATH: [...(node ? [dirname(node)] : []), ...others].join(delimiter) }
  // NODE_ENV=production would leave out the tools and the tests' own packages.
  delete env.NODE_ENV
  return env
}

const CAUSES = [
  [
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT/,
    'the npm registry cannot be reached: check the network and the proxy (npm config get registry, npm config get proxy)',
  ],
  [
    /CERT|certificate/i,
    'the npm registry’s certificate is not trusted: set npm config cafile to your company’s CA',
  ],
  [/\bE40[13]\b/, 'the npm registry wants a login: run npm login, or check npm config get registry'],
  [
    /\bE404\b|ETARGET/,
    'the npm registry does not have a package of package-lock.json: check npm config get registry',
  ],
  [/EINTEGRITY/, 'a package came damaged or changed: run npm cache verify and try again'],
  [
    /EACCES|EPERM/,
    'no permission to write here: the folder or the npm cache belongs to another user (sudo npm?)',
  ],
  [
    /EUSAGE|can only install packages when/,
    'package.json and package-lock.json disagree: run npm install --ignore-scripts',
  ],
]

function explain({ code, signal, output, late, interrupted, error }, full) {
  if (error?.code === 'ENOENT')
    return 'npm is not on the PATH: install Node 26 with npm from https://nodejs.org'
  if (error) return `npm could not be started: ${error.message}`
  if (interrupted) return 'interrupted; the next start begins the installation again'
  if (late)
    return `npm ci was not done after ${DEADLINE_MS / 60_000} minutes and was stopped: is the network very slow?`
  const [, known] =
    [[/ENOSPC|no space left/i, full], ...CAUSES].find(([pattern]) => pattern.test(output)) ?? []
  const cause = known ?? `npm ci failed (exit ${code ?? signal})`
  return `${cause}\n--- the end of npm's own output ---\n${tail(output)}`
}
