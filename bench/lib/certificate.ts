/** One certificate for all servers of a run, so that none has an easier one. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface Files {
  readonly cert: string
  readonly key: string
}

let made: Files | undefined

/** Writes certificate and key, made once, into the folder; gives the paths. */
export function certificate(folder: string): Files {
  const files = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') }
  made ??= make(files)
  writeFileSync(files.cert, made.cert)
  writeFileSync(files.key, made.key)
  return files
}

/** Texts in PEM. P-256, as most servers have it today. */
function make({ cert, key }: Files): Files {
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const names = ['-days', '30', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', [...request, '-keyout', key, '-out', cert, ...names], { stdio: 'pipe' })
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
}
