/** A certificate of a run's own for 127.0.0.1, by the openssl command. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { NotInstalled } from '../suite/not-installed.ts'

/** Writes certificate and key into the folder; gives the paths. Throws NotInstalled where there is no openssl. */
export function certificate(folder: string): { readonly cert: string; readonly key: string } {
  const files = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') }
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const names = ['-days', '30', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
  try {
    execFileSync('openssl', [...request, '-keyout', files.key, '-out', files.cert, ...names], {
      stdio: 'pipe',
    })
  } catch (error) {
    throw new NotInstalled('there is no openssl', { cause: error })
  }
  return files
}
