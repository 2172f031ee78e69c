/** The verified certificate of the client at the other end of a connection. */
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { type PeerCertificate, peerCertificate } from '../../core/peer-certificate.ts'
import { HalfClosedSocket } from './half-closed-socket.ts'

/** Read once a connection; undefined: the client has shown none. */
const known = new WeakMap<TLSSocket, PeerCertificate | undefined>()

/** Undefined: no TLS, or no certificate. TLS ends a connection whose certificate is not valid, so one that is here was verified. */
export function clientCertificate(socket: Duplex): PeerCertificate | undefined {
  if (socket instanceof HalfClosedSocket) return clientCertificate(socket.socket)
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined
  if (known.has(socket)) return known.get(socket)
  const { subject, subjectaltname, fingerprint256 } = socket.getPeerCertificate()
  const certificate = subject && peerCertificate({ subject, subjectaltname, fingerprint256 })
  known.set(socket, certificate)
  return certificate
}
