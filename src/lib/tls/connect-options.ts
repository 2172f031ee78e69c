/** The options of node:tls for a connection that this process opens. */
import type { ConnectionOptions } from 'node:tls'
import type { ClientTls } from './material.ts'

/** Undefined: as Node does by itself. The server name is left to the caller, who knows the address. */
export function connectOptions(
  tls: ClientTls | undefined,
): Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized'> {
  if (!tls) return {}
  const { ca, identity, isVerified } = tls
  return {
    ...(ca === undefined ? {} : { ca }),
    ...identity,
    rejectUnauthorized: isVerified,
  }
}
