/** Puts Debian's packages on the machine, when asked; otherwise one says what to install. */
import { spawnSync } from 'node:child_process'
import { Mistake } from './options.ts'
import { missing, missingTools, type ServerName } from './servers.ts'

export function packagesFor(servers: readonly ServerName[]): string[] {
  return [...new Set([...missingTools(), ...servers.flatMap((server) => missing(server))])]
}

export const advice = (packages: readonly string[]): string =>
  `apt-get install -y --no-install-recommends ${packages.join(' ')}`

// Debian starts a service when it installs one, unless a policy forbids it; one that is already there is the machine's own.
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
apt-get update >&2
apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@" >&2
`

export function install(packages: readonly string[]): void {
  if (packages.length === 0) return
  if (process.getuid?.() !== 0) throw new Mistake(`--install needs root; run: sudo ${advice(packages)}`)
  process.stderr.write(`installing ${packages.join(' ')}\n`)
  const { status } = spawnSync('sh', ['-c', INSTALL, 'sh', ...packages], {
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: 600_000,
  })
  if (status !== 0) throw new Mistake(`apt-get did not manage it; run: ${advice(packages)}`)
}
