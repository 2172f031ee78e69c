/**
 * `npm run check:tls -- HOST:PORT [HOST:PORT …]`: asks testssl.sh (Debian's package of that name) for weaknesses of TLS ports,
 * and exits with 1 where it finds one. What depends on who signed the certificate is declared here and left out.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Findings about the certificate's authority, or about the machine that asks, and not about the port. */
const DECLARED = new Set(['cert_chain_of_trust', 'cert_revocation', 'DNS_CAArecord', 'engine_problem'])
const FINE = new Set(['OK', 'INFO'])
const TIMEOUT_MS = 600_000

const ports = process.argv.slice(2)
if (ports.length === 0) fail('name the ports: npm run check:tls -- 127.0.0.1:8080 127.0.0.1:9090')
const folder = mkdtempSync(join(tmpdir(), 'infergate-testssl-'))
try {
  const found = ports.flatMap((port) => weaknesses(port))
  for (const line of found) console.error(line)
  if (found.length > 0) process.exitCode = 1
  else console.log(`testssl found no weakness at ${ports.join(' and ')}`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function weaknesses(port) {
  const file = join(folder, `${port.replace(/\W/g, '-')}.json`)
  const options = [
    '--quiet',
    '--warnings',
    'off',
    '-p',
    '-s',
    '-S',
    '-U',
    '--jsonfile',
    file,
    `https://${port}`,
  ]
  const { error, stdout } = spawnSync('testssl', options, { timeout: TIMEOUT_MS, encoding: 'utf8' })
  if (error?.code === 'ENOENT') fail('testssl is not installed: apt-get install testssl.sh')
  const findings = readFindings(file, `${error ?? ''} ${stdout}`)
  return findings
    .filter(({ id, severity }) => !FINE.has(severity) && !DECLARED.has(id))
    .map(({ id, severity, finding }) => `${port}: ${severity} ${id}: ${finding}`)
}

function readFindings(file, said) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    fail(`testssl gave no findings: ${said.trim().slice(-500)}`)
  }
}

function fail(why) {
  console.error(`check:tls: ${why}`)
  process.exit(1)
}
