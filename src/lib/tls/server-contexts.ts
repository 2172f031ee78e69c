/**
 * The TLS of one listener: a node:tls server for each certificate, none of which listens, and the choice between them by
 * server name. Each has ticket keys of its own, derived from the certificate and from how clients are verified: a session
 * is resumed only where the same certificate answers, and not after the client CA or the CRL changed.
 */
import { constants, createHash, hkdfSync, X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import type { KeyPair, ServerTls } from './material.ts'
import { dnsNames } from './names.ts'

/** Mozilla's "intermediate" configuration, version 5.7, without DHE, for which Node has no default parameters. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')
const GROUPS = 'X25519MLKEM768:X25519:prime256v1:secp384r1'
/** How long a session may be resumed. */
const SESSION_SECONDS = 300
/** A 16-byte name, an AES-128 key and an HMAC key. */
const TICKET_KEY_BYTES = 48

export class ServerContexts {
  readonly #default: tls.Server
  readonly #byName = new Map<string, tls.Server>()

  /**
   * `secured`: called with each connection whose handshake is done; one that fails is closed. Throws OpenSSL's error where a
   * certificate, a key, the client CA or the CRL cannot be used.
   */
  constructor(material: ServerTls, alpn: readonly string[], secured: (socket: tls.TLSSocket) => void) {
    const servers = material.certificates.map((pair) =>
      tls.createServer(optionsOf(material, pair, alpn), secured),
    )
    this.#default = servers[0] as tls.Server
    for (const [i, { cert }] of material.certificates.entries())
      for (const name of dnsNames(new X509Certificate(cert)))
        if (!this.#byName.has(name)) this.#byName.set(name, servers[i] as tls.Server)
  }

  /** The server whose certificate has the name, itself or by a wildcard for its first label; otherwise the first. */
  find(name: string | undefined): tls.Server {
    if (name === undefined) return this.#default
    return this.#byName.get(name) ?? this.#byName.get(name.replace(/^[^.]+/, '*')) ?? this.#default
  }
}

function optionsOf(material: ServerTls, { cert, key }: KeyPair, alpn: readonly string[]): tls.TlsOptions {
  const { client } = material
  return {
    cert,
    key,
    minVersion: 'TLSv1.2',
    ciphers: CIPHERS,
    ecdhCurve: GROUPS,
    // Every cipher of the list is good, so clients take the one they are fastest at.
    honorCipherOrder: false,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ALPNProtocols: [...alpn],
    sessionTimeout: SESSION_SECONDS,
    ticketKeys: ticketKeys(material, cert),
    ...(client && {
      ca: client.ca,
      ...(client.crl === undefined ? {} : { crl: client.crl }),
      requestCert: true,
      rejectUnauthorized: client.isRequired,
    }),
  }
}

function ticketKeys({ ticketSecret, client }: ServerTls, cert: string): Buffer {
  const bound = JSON.stringify([cert, client?.ca, client?.crl, client?.isRequired])
  const salt = createHash('sha256').update(bound).digest()
  const secret = Buffer.from(ticketSecret, 'hex')
  return Buffer.from(hkdfSync('sha256', secret, salt, 'infergate session tickets', TICKET_KEY_BYTES))
}
