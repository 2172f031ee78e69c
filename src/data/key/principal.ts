/**
 * Who asks. A cached answer may only go to a caller whom the backend would have given it: the credentials a
 * request carries are part of every key, unless the route shares its answers on purpose.
 */
import type { RawPairs } from '../../core/call.ts'
import { digestOf, printable } from '../../core/key.ts'

const CREDENTIALS = new Set(['authorization', 'cookie', 'api-key', 'x-api-key'])

/** A digest of all credential fields in their order, or '' for the anonymous caller. Never the secret itself. */
export function principalOf(headers: RawPairs): string {
  let preimage = ''
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (name.length < 6 || name.length > 13) continue
    const field = name.toLowerCase()
    if (!CREDENTIALS.has(field)) continue
    const value = headers[i + 1] as string
    preimage += `${field}:${value.length}:${value};`
  }
  return preimage === '' ? '' : printable(digestOf(preimage))
}
