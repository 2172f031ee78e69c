/**
 * Applies the address rules when a connection is made. A name is resolved here and only allowed addresses are passed
 * on, so nothing can change between check and connect.
 */
import { lookup as resolve } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type AddressRules, addressRefusal } from '../../core/addresses.ts'

/** The `code` of the error when every address of a host is refused. */
export const FORBIDDEN = 'EADDRFORBIDDEN'

/** The addresses of this machine's interfaces, for the rule against our own wildcard listeners. */
export function localAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address))
}

/**
 * A `lookup` for node:net and node:http that answers only allowed addresses. Node does not ask it for hosts
 * that are IP literals: check those with `literalRefusal` first.
 */
export function guardedLookup(rules: AddressRules, port: number): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0)
      const allowed = addresses.filter(({ address }) => addressRefusal(address, port, rules) === undefined)
      const first = allowed[0]
      if (!first) return callback(forbidden(hostname, addresses[0]?.address ?? '', { rules, port }), '', 0)
      if (options.all) callback(null, allowed)
      else callback(null, first.address, first.family)
    })
  }
}

/** Why a host that is an IP literal may not be connected to; undefined for names and for allowed ones. */
export function literalRefusal(host: string, port: number, rules: AddressRules): string | undefined {
  const bare = host.replace(/^\[|\]$/g, '')
  const reason = isIP(bare) === 0 ? undefined : addressRefusal(bare, port, rules)
  return reason === undefined ? undefined : `${bare} is ${reason}`
}

function forbidden(
  host: string,
  address: string,
  at: { rules: AddressRules; port: number },
): NodeJS.ErrnoException {
  const reason = addressRefusal(address, at.port, at.rules) ?? 'without an address'
  return Object.assign(new Error(`${host} leads to ${address}, which is ${reason}`), { code: FORBIDDEN })
}
