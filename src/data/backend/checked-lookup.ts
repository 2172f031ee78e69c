/** The system's resolver, with each address it gives checked before anything connects to it. */
import { lookup as resolve } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { GatewayError } from '../../core/errors.ts'
import type { ClientOptions } from './exchange.ts'

export function checkedLookup(refuse: ClientOptions['refuse'], port: number): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0)
      const refused = addresses.map(({ address }) => refuse(address, port)).find((why) => why !== undefined)
      const first = addresses[0]
      if (refused !== undefined || !first)
        return callback(new GatewayError('backendForbidden', refused ?? `${hostname} has no address`), '', 0)
      if (options.all) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }
}
