/** A certificate authority of the test's own, by the openssl command: certificates for servers and clients, and a revocation list. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import type { KeyPair } from '../../src/lib/tls/material.ts'

export interface Authority {
  readonly folder: string
  /** PEM of its certificate. */
  readonly ca: string
  /** `names` as openssl has them: `DNS:localhost,URI:spiffe://…`. */
  issue(subject: string, names: string, days?: number): KeyPair
  /** A revocation list with these certificates on it. */
  revoke(...revoked: readonly KeyPair[]): string
}

const CONFIG = `[ca]
default_ca=own
[own]
database=index.txt
serial=serial
crlnumber=crlnumber
new_certs_dir=.
certificate=ca.pem
private_key=ca.key
default_md=sha256
default_days=30
default_crl_days=30
policy=any
copy_extensions=copy
unique_subject=no
[any]
commonName=supplied
organizationalUnitName=optional
`

export function createAuthority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'infergate-ca-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const run = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const text = (file: string) => readFileSync(join(folder, file), 'utf8')
  for (const [file, content] of [
    ['ca.cnf', CONFIG],
    ['index.txt', ''],
    ['serial', '01\n'],
    ['crlnumber', '01\n'],
  ] as const)
    writeFileSync(join(folder, file), content)
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  run(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=test authority',
    '-days',
    '30',
  )
  let issued = 0
  return {
    folder,
    ca: text('ca.pem'),
    issue(subject, names, days = 30) {
      const name = `issued-${++issued}`
      const alternative = ['-addext', `subjectAltName=${names}`]
      run(
        'req',
        '-new',
        ...newKey,
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.csr`,
        '-subj',
        subject,
        ...alternative,
      )
      run(
        'ca',
        '-batch',
        '-config',
        'ca.cnf',
        '-days',
        String(days),
        '-in',
        `${name}.csr`,
        '-out',
        `${name}.pem`,
        '-notext',
      )
      return { cert: text(`${name}.pem`), key: text(`${name}.key`) }
    },
    revoke(...revoked) {
      for (const { cert } of revoked) {
        writeFileSync(join(folder, 'revoked.pem'), cert)
        run('ca', '-config', 'ca.cnf', '-revoke', 'revoked.pem')
      }
      run('ca', '-config', 'ca.cnf', '-gencrl', '-out', 'crl.pem')
      return text('crl.pem')
    },
  }
}
