/** The servers the tests talk to: redis-server and memcached, from Debian where we may install, else named. */

import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { run, tail } from './run.mjs'
import { Failure, keepSaying, say } from './say.mjs'

// Each program and the Debian package it comes from.
const SERVERS = { 'redis-server': 'redis-server', memcached: 'memcached' }
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

/** Returns when all servers are on the PATH; `locked` runs work that no second set-up may do at the same time. */
export async function ensureServers(locked) {
  if (missing().length > 0) await locked(installMissing)
}

async function installMissing() {
  const names = missing()
  if (names.length === 0) return
  const packages = names.map((name) => SERVERS[name])
  const how = `the tests need ${names.join(' and ')}: install ${packages.join(' ')} (Debian: apt-get install, macOS: brew install redis memcached)`
  const [command, ...before] = asRoot()
  if (command === undefined || !onPath('apt-get')) throw new Failure(how)

  say(`installing ${packages.join(' and ')} for the tests with apt-get; this takes up to a minute, once`)
  const done = keepSaying('still installing')
  const args = [...before, '-c', INSTALL, 'sh', ...packages]
  const result = await run(command, args, { env: process.env, deadlineMs: DEADLINE_MS })
  const seconds = done()
  if (result.code !== 0) {
    throw new Failure(
      `${how}\n--- apt-get did not manage it; the end of its output ---\n${tail(result.output)}`,
    )
  }
  if (missing().length > 0) throw new Failure(how)
  say(`${packages.join(' and ')} installed in ${seconds} s`)
}

/** The command line of a root shell, or nothing where we may not have one. */
export function asRoot() {
  if (process.getuid?.() === 0) return ['sh']
  if (!onPath('sudo')) return []
  const allowed = spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore', timeout: 10_000 }).status === 0
  return allowed ? ['sudo', '-n', 'sh'] : []
}

function missing() {
  return Object.keys(SERVERS).filter((name) => !onPath(name))
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
