/**
 * Errors that a Redis server reports about itself rather than about a command: a refusal, which a person has to mend, or a
 * state in which it cannot serve for now, which passes.
 */

import net from 'node:net'
import tls from 'node:tls'
import type { SocketAddress } from '../../../core/addresses.ts'
import { isAboutCertificate } from '../../../lib/certificates.ts'
import { ConnectionRefused } from './reconnecting-connection.ts'
import { type RedisReply, RespError } from './redis-reply.ts'
import { within } from './remote.ts'
import { HTTP_ANSWER, TLS_ALERT } from './resp-judge.ts'

/** The server's message, and what it means with the fix. The message itself is not repeated: it may quote what we sent. */
const REFUSALS: readonly (readonly [RegExp, string])[] = [
  [/^WRONGPASS|^ERR invalid password/, 'the user name or the password is wrong (WRONGPASS); correct the URL'],
  [/^NOAUTH/, 'it wants a password (NOAUTH); write redis://user:password@host'],
  [
    /^ERR (?:AUTH <password> called without any password|Client sent AUTH, but no password)/,
    'it has no password for this user; take the password out of the URL, or name the user',
  ],
  [/^DENIED/, 'it runs in protected mode (DENIED); give it a password, or bind it to its own network'],
  [
    /^ERR (?:DB index is out of range|invalid DB index)/,
    'it has no such database; correct the /number in the URL',
  ],
  [
    /^ERR SELECT is not allowed in cluster mode/,
    'it is a cluster, which has database 0 only; take the /number out of the URL',
  ],
  [/^ERR This instance has cluster support disabled/, 'it is no cluster; take "cluster: true" out'],
  [/^(?:MOVED|CROSSSLOT|CLUSTERDOWN)\b/, 'it is a node of a cluster; set "cluster: true"'],
]

/** Undefined: the reply is not a permanent refusal. */
export function refusalOf(reply: RedisReply): string | undefined {
  if (!(reply instanceof RespError)) return undefined
  const denied = /^NOPERM.*?(?:'([a-z|]{1,32})' command|access (?:a|one of the) (?:key|channel))/i.exec(
    reply.message,
  )
  if (reply.code === 'NOPERM') {
    const what = denied?.[1] ? `the command ${denied[1].toUpperCase()}` : 'our keys and channels'
    return `the user may not use ${what} (NOPERM); docs/guide/shared-tiers.md names what a user needs`
  }
  return REFUSALS.find(([words]) => words.test(reply.message))?.[1]
}

/** The server is loading its data, or is a replica that has lost its primary: for now it answers nothing. */
export function isIdle(error: RespError): boolean {
  return error.code === 'LOADING' || error.code === 'MASTERDOWN'
}

/** What mends a certificate that does not hold, by Node's word for why. */
const CERTIFICATES: readonly (readonly [RegExp, string])[] = [
  [/^ERR_TLS_CERT|^HOSTNAME_MISMATCH/, 'write a name that it is for in the URL, or in tls.serverName'],
  [/^CERT_HAS_EXPIRED|^CERT_NOT_YET_VALID/, 'give the server one that is valid now'],
  [/^DEPTH_ZERO|^SELF_SIGNED|^UNABLE_TO_|^CERT_UNTRUSTED/, 'name its authority in the tls.ca of the tier'],
  [/./, 'give the server one that is fit for a server'],
]

/** Finds out why a connection failed: certificates, or TLS on one side only. Sends nothing secret. */
export async function diagnosed(error: Error, address: SocketAddress, secure: boolean): Promise<Error> {
  const { code = '' } = error as NodeJS.ErrnoException
  if (isAboutCertificate(code)) {
    const mend = CERTIFICATES.find(([codes]) => codes.test(code))?.[1]
    return new ConnectionRefused(`its certificate is rejected (${code}); ${mend}`)
  }
  if (secure && /CERTIFICATE_REQUIRED/.test(code))
    return new ConnectionRefused(
      'it wants a certificate of ours: name one that it accepts in the tls.cert and tls.key of the tier',
    )
  if (secure && /ALERT/.test(code)) return new ConnectionRefused(`it ends the TLS handshake (${code})`)
  if (error.message === HTTP_ANSWER)
    return new ConnectionRefused('it speaks HTTP on this port, and is no Redis; correct the host or the port')
  if (secure && (await speaksPlain(address)))
    return new ConnectionRefused('it speaks no TLS on this port; write redis:// instead of rediss://')
  if (!secure && (error.message === TLS_ALERT || (isEnded(error) && (await speaksTls(address)))))
    return new ConnectionRefused('it wants TLS on this port; write rediss:// instead of redis://')
  return error
}

function isEnded({ message }: Error): boolean {
  return /closed the connection|ECONNRESET|EPIPE/.test(message)
}

const PROBE_MS = 500

function speaksPlain(address: SocketAddress): Promise<boolean> {
  const socket = net.connect(address)
  const said = new Promise<boolean>((resolve) => {
    socket.once('data', (bytes) => resolve(bytes[0] === 0x2b || bytes[0] === 0x2d))
    socket.once('close', () => resolve(false))
  })
  socket.on('error', () => {})
  socket.write('PING\r\n')
  return ended(socket, said)
}

function speaksTls(address: SocketAddress): Promise<boolean> {
  // Nothing is sent over it, so the certificate does not matter.
  const socket = tls.connect({ ...address, rejectUnauthorized: false })
  const said = new Promise<boolean>((resolve) => {
    socket.once('secureConnect', () => resolve(true))
    socket.once('close', () => resolve(false))
  })
  socket.on('error', () => {})
  return ended(socket, said)
}

async function ended(socket: net.Socket, said: Promise<boolean>): Promise<boolean> {
  try {
    return await within(PROBE_MS, said, 'probe')
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
