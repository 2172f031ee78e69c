/** Reads the PEM files of one `tls` block and checks that they can be used, together. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import { readRegular, UnreadableError } from '../../lib/regular-file.ts'
import type { ClientTls, ClientVerification, KeyPair, ServerTls } from '../../lib/tls/material.ts'

export interface KeyPairFiles {
  readonly cert: string
  readonly key: string
}

/** A `tls` block of a listener: absolute paths. */
export interface ServerTlsFiles {
  readonly certificates: readonly KeyPairFiles[]
  readonly clientCa?: string
  readonly clientAuth: 'optional' | 'required'
  readonly crl?: string
}

/** A `tls` block of connections to others: absolute paths. */
export interface ClientTlsFiles extends Partial<KeyPairFiles> {
  readonly ca?: string
  readonly serverName?: string
  readonly verify: boolean
}

/** A certificate of ours. */
export interface OwnCertificate {
  readonly file: string
  /** Wall-clock milliseconds. */
  readonly notAfter: number
}

export interface Loaded<M> {
  readonly material: M
  readonly own: readonly OwnCertificate[]
}

/** A file that cannot be used; the message names it, and why. */
export class CertificateError extends Error {
  constructor(file: string, why: string) {
    super(`${file}: ${why}`)
    this.name = 'CertificateError'
  }
}

export type ServerTlsMaterial = Omit<ServerTls, 'ticketSecret'>

export async function loadServerTls(files: ServerTlsFiles): Promise<Loaded<ServerTlsMaterial>> {
  const pairs = await Promise.all(files.certificates.map(loadPair))
  return {
    material: { certificates: pairs.map(({ pair }) => pair), client: await loadVerification(files) },
    own: pairs.map(({ own }) => own),
  }
}

export async function loadClientTls(files: ClientTlsFiles): Promise<Loaded<ClientTls>> {
  const { ca, cert, key, serverName, verify } = files
  const loaded = cert !== undefined && key !== undefined ? await loadPair({ cert, key }) : undefined
  return {
    material: {
      ca: ca === undefined ? undefined : await loadCertificates(ca),
      identity: loaded?.pair,
      serverName,
      isVerified: verify,
    },
    own: loaded ? [loaded.own] : [],
  }
}

/** Every file that the block names. */
export function filesOf(block: ServerTlsFiles | ClientTlsFiles): string[] {
  const [pairs, others] =
    'certificates' in block ? [block.certificates, [block.clientCa, block.crl]] : [[block], [block.ca]]
  return [...pairs.flatMap(({ cert, key }) => [cert, key]), ...others].filter((file) => file !== undefined)
}

async function loadPair(files: KeyPairFiles): Promise<{ pair: KeyPair; own: OwnCertificate }> {
  const cert = await loadCertificates(files.cert)
  const key = await read(files.key)
  const leaf = new X509Certificate(cert)
  const privateKey = attempt(files.key, 'is no private key in PEM without a passphrase', () =>
    createPrivateKey(key),
  )
  if (!leaf.checkPrivateKey(privateKey))
    throw new CertificateError(files.key, `is not the key of the certificate in ${files.cert}`)
  attempt(files.cert, 'cannot be used', () => tls.createSecureContext({ cert, key }))
  return { pair: { cert, key }, own: { file: files.cert, notAfter: leaf.validToDate.getTime() } }
}

async function loadVerification(files: ServerTlsFiles): Promise<ClientVerification | undefined> {
  const { clientCa, clientAuth, crl: crlFile } = files
  if (clientCa === undefined) return undefined
  const ca = await loadCertificates(clientCa)
  const crl = crlFile === undefined ? undefined : await read(crlFile)
  if (crlFile !== undefined && crl !== undefined)
    attempt(crlFile, 'is no revocation list in PEM', () => tls.createSecureContext({ crl }))
  return { ca, crl, isRequired: clientAuth === 'required' }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** The text of a file that holds certificates, each of which parses. */
async function loadCertificates(file: string): Promise<string> {
  const text = await read(file)
  const certificates = text.match(CERTIFICATE)
  if (!certificates) throw new CertificateError(file, 'holds no certificate in PEM')
  for (const certificate of certificates)
    attempt(file, 'holds a certificate that does not parse', () => new X509Certificate(certificate))
  return text
}

function attempt<T>(file: string, what: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const { reason, message } = error as Error & { readonly reason?: string }
    throw new CertificateError(file, `${what} (${reason ?? message})`)
  }
}

/** More than any chain, bundle of authorities or revocation list of ours has. */
const MAX_BYTES = 4 * 1024 * 1024

async function read(file: string): Promise<string> {
  try {
    return (await readRegular(file, MAX_BYTES)).toString('utf8')
  } catch (error) {
    throw new CertificateError(file, whyUnreadable(error as NodeJS.ErrnoException))
  }
}

function whyUnreadable(error: NodeJS.ErrnoException): string {
  if (error instanceof UnreadableError) return error.message
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return 'there is no such file'
  if (error.code === 'EACCES' || error.code === 'EPERM') return 'may not be read: check its permissions'
  return `cannot be read (${error.code ?? error.message})`
}
