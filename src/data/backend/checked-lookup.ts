/** The check of the addresses that a backend's name resolves to, with the fault of a call that may not go there. */
import type { LookupFunction } from 'node:net'
import { allowedLookup } from '../../core/allowed-lookup.ts'
import { GatewayError } from '../../core/errors.ts'
import type { ClientOptions } from './exchange.ts'

export function checkedLookup(refuse: ClientOptions['refuse'], port: number): LookupFunction {
  return allowedLookup({ refuse, port, forbidden })
}

/** `why` names the address, so it is for the log alone. */
export function forbidden(why: string): GatewayError {
  const what = 'the backend has an address that calls may not be sent to (pools.*.allowAddresses)'
  return new GatewayError('backendForbidden', what, { cause: new Error(why), unsent: true })
}
