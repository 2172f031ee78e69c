/**
 * The credential that the gateway itself shows to the backends of a pool, and which of them may have it. A backend that
 * registers or is discovered names its own address: without a bound, whoever may do that could have the credential sent to
 * wherever he likes.
 */
import { HostSet } from './host-set.ts'

export interface BackendCredential {
  /** Name of the header field, in lower case. */
  readonly header: string
  readonly value: string
  /** URLs of the backends that the settings name, in canonical form. */
  readonly urls: readonly string[]
  /** Who else may have it: host names, `*.` before one for all below it, and address ranges. */
  readonly hosts: readonly string[]
}

/**
 * Whether the backend at this URL may have the credential. A host name counts only over TLS, where a certificate proves it;
 * an address counts as it is.
 */
export function mayReceive(url: string, { urls, hosts }: Pick<BackendCredential, 'urls' | 'hosts'>): boolean {
  if (urls.includes(url)) return true
  const { hostname, protocol } = new URL(url)
  const others = new HostSet(hosts)
  return others.hasAddress(hostname) || (protocol === 'https:' && others.hasName(hostname))
}

/** Why a backend does not get calls that need the credential. */
export const WITHHELD = "the pool's credentials are not for this host (pools.*.credentials.hosts)"
