/** The system's resolver, restricted to the addresses that may be connected to. */
import { lookup as resolve } from 'node:dns'
import type { LookupFunction } from 'node:net'

export interface AddressCheck {
  /** Why this resolved address is refused, or undefined when it may be connected to. */
  readonly refuse: (address: string, port: number) => string | undefined
  readonly port: number
  /** The error of a connection to a name whose addresses are all refused; `why` names the address. */
  readonly forbidden: (why: string) => Error
}

/** A `lookup` for sockets: the name's allowed addresses, or the error `forbidden` makes where there is none. */
export function allowedLookup({ refuse, port, forbidden }: AddressCheck): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0)
      const refusals = addresses.map(({ address }) => refuse(address, port))
      const allowed = addresses.filter((_, at) => refusals[at] === undefined)
      const first = allowed[0]
      if (!first) return callback(forbidden(refusals[0] ?? `${hostname} has no address`), '', 0)
      if (options.all) callback(null, allowed)
      else callback(null, first.address, first.family)
    })
  }
}
