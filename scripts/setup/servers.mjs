/** The programs the tests talk to: redis-server, memcached and a browser, from Debian where we may install, else named. */

import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { run, tail } from './run.mjs'
import { Failure, keepSaying, say } from './say.mjs'

// Each program, by any of its names, and the Debian package it comes from. The tests of the dashboard are skipped where there
// is no browser, but not in CI.
const PROGRAMS = [
  { names: ['redis-server'], package: 'redis-server', isNeeded: true },
  { names: ['memcached'], package: 'memcached', isNeeded: true },
  {
    names: ['chromium-headless-shell', 'chromium', 'google-chrome'],
    package: 'chromium-headless-shell',
    isNeeded: Boolean(process.env.CI),
  },
]
const DEADLINE_MS = 10 * 60_000

// Debian starts a service when it installs one. A policy-rc.d that answers 101 forbids that while we
// install; one that is already there is the machine's own and stays as it is.
const INSTALL = `
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 143' INT TERM HUP
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
`

/** Returns when all programs that are needed are on the PATH; `locked` runs work that no second set-up may do at the same time. */
export async function ensureServers(locked) {
  if (missing().length > 0) await locked(installMissing)
}

async function installMissing() {
  const packages = missing().map((program) => program.package)
  if (packages.length === 0) return
  const how = `the tests need ${packages.join(' and ')} (Debian: apt-get install, macOS: brew install redis memcached chromium)`
  const [command, ...before] = asRoot()
  if (command === undefined || !onPath('apt-get')) return settle(how)

  say(`installing ${packages.join(' and ')} for the tests with apt-get; this takes up to a minute, once`)
  const done = keepSaying('still installing')
  const args = [...before, '-c', INSTALL, 'sh', ...packages]
  const result = await run(command, args, { env: process.env, deadlineMs: DEADLINE_MS })
  const seconds = done()
  if (result.code !== 0)
    return settle(`${how}\n--- apt-get did not manage it; the end of its output ---\n${tail(result.output)}`)
  if (missing().length > 0) return settle(how)
  say(`${packages.join(' and ')} installed in ${seconds} s`)
}

/** Something could not be had: a failure, unless the tests can do without. */
function settle(how) {
  if (missing().some(({ isNeeded }) => isNeeded)) throw new Failure(how)
  say(how)
}

/** The command line of a root shell, or nothing where we may not have one. */
export function asRoot() {
  if (process.getuid?.() === 0) return ['sh']
  if (!onPath('sudo')) return []
  const allowed = spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore', timeout: 10_000 }).status === 0
  return allowed ? ['sudo', '-n', 'sh'] : []
}

function missing() {
  return PROGRAMS.filter(({ names }) => !names.some(onPath))
}

export function onPath(name) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
