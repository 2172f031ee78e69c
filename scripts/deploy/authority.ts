/** A certificate authority of a run's own, by the openssl command. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Paths of PEM files. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

export interface Authority {
  /** Path of its certificate. */
  readonly file: string
  /** A certificate of this common name, for these host names or addresses (`IP:127.0.0.1`, `DNS:name`). */
  issue(name: string, subjects?: readonly string[]): Certificate
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** Throws where there is no openssl. */
export function createAuthority(folder: string, name: string): Authority {
  const at = (file: string) => join(folder, `${name}-${file}`)
  const [file, caKey] = [at('ca.crt'), at('ca.key')]
  openssl('req', '-x509', ...KEY, '-days', '30', '-subj', `/CN=${name}`, '-keyout', caKey, '-out', file)
  return {
    file,
    issue(subject, subjects = []) {
      const issued = { cert: at(`${subject}.crt`), key: at(`${subject}.key`) }
      const [request, extensions] = [at('request'), at('extensions')]
      const names = subjects.length > 0 ? `subjectAltName=${subjects.join()}\n` : ''
      writeFileSync(extensions, `${names}extendedKeyUsage=clientAuth,serverAuth\n`)
      openssl('req', ...KEY, '-subj', `/CN=${subject}`, '-keyout', issued.key, '-out', request)
      const signed = ['-CA', file, '-CAkey', caKey, '-CAcreateserial', '-days', '30', '-extfile', extensions]
      openssl('x509', '-req', '-in', request, ...signed, '-out', issued.cert)
      return issued
    },
  }
}

const openssl = (...args: string[]): Buffer => execFileSync('openssl', args, { stdio: 'pipe' })
