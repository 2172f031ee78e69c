/** A socket for HTTP/2 that this process opens: in cleartext by prior knowledge, over TLS by ALPN. */
import net, { isIP, type LookupFunction } from 'node:net'
import tls from 'node:tls'
import { connectOptions } from './connect-options.ts'
import type { ClientTls } from './material.ts'

export interface Http2SocketOptions {
  readonly isSecure: boolean
  /** A name, or an address without brackets. */
  readonly host: string
  readonly port: number
  readonly lookup: LookupFunction
  /** Undefined: as Node does by itself. */
  readonly tls: ClientTls | undefined
  /** For cleartext: reads into this memory, and calls the function with what has come; left out: the socket has `data` events. */
  readonly onread?: { readonly buffer: Uint8Array; callback(size: number): boolean }
}

/**
 * `ready` is called when the connection is there, over TLS with whether the other side has agreed on HTTP/2. Errors and the
 * close are the socket's own events.
 */
export function openHttp2Socket(
  { isSecure, host, port, lookup, tls: material, onread }: Http2SocketOptions,
  ready: (isHttp2: boolean) => void,
): net.Socket {
  const to = { host, port, lookup }
  if (!isSecure) return net.connect({ ...to, noDelay: true, ...(onread && { onread }) }, () => ready(true))
  const servername = material?.serverName ?? (isIP(host) === 0 ? host : '')
  const alpn = { servername, ALPNProtocols: ['h2'] }
  const socket = tls.connect({ ...to, ...alpn, ...connectOptions(material) }, () =>
    ready(socket.alpnProtocol === 'h2'),
  )
  return socket.setNoDelay(true)
}
