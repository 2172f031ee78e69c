/** The system's resolver, restricted to the addresses that may be connected to. */
import { lookup as resolve } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { GatewayError } from '../../core/errors.ts'
import type { ClientOptions } from './exchange.ts'

export function checkedLookup(refuse: ClientOptions['refuse'], port: number): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0)
      const refusals = addresses.map(({ address }) => refuse(address, port))
      const allowed = addresses.filter((_, at) => refusals[at] === undefined)
      const first = allowed[0]
      if (!first) {
        return callback(forbidden(refusals[0] ?? `${hostname} has no address`), '', 0)
      }
      if (options.all) callback(null, allowed)
      else callback(null, first.address, first.family)
    })
  }
}

/** `why` names the address, so it is for the log alone. */
export function forbidden(why: string): GatewayError {
  const what = 'the backend has an address that calls may not be sent to (pools.*.allowAddresses)'
  return new GatewayError('backendForbidden', what, { cause: new Error(why), unsent: true })
}
